"""Write every dashboard as JSON."""

import sys
from pathlib import Path

from grafana.desk import DESK
from grafana.model import MODEL
from grafana.operations import OPERATIONS
from grafana.panels import render

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {f"{board['uid']}.json": board for board in (DESK, MODEL, OPERATIONS)}

if __name__ == "__main__":
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(render(dashboard))
        sys.stdout.write(f"{FOLDER / name}\n")
