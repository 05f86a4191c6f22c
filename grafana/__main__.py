"""Write every dashboard as JSON."""

import sys
from pathlib import Path

from grafana.overview import OVERVIEW
from grafana.panels import render

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"fraudstream.json": OVERVIEW}

if __name__ == "__main__":
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(render(dashboard))
        sys.stdout.write(f"{FOLDER / name}\n")
