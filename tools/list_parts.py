"""The image's bill of materials (SBOM, CycloneDX), from its lock: `python -m tools.list_parts`."""

import json
import subprocess
import sys
from typing import Final

from tools.check_security import LOCK

BILL: Final = LOCK.with_name("sbom.cdx.json")


def main() -> None:
    """Write the bill."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "requirements"),
            *("--output-reproducible", "--output-format", "JSON", str(LOCK)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    bill = json.loads(made.stdout)
    # Where a package might have been fetched from, and by whom this was made, differ by machine; hashes are
    # in the lock.
    del bill["metadata"]
    bill["components"] = [
        {name: part[name] for name in ("type", "name", "version", "purl")} | {"bom-ref": part["purl"]}
        for part in bill["components"]
    ]
    bill["dependencies"] = [{"ref": part["purl"]} for part in bill["components"]]
    BILL.write_text(json.dumps(bill, indent=1) + "\n")


if __name__ == "__main__":
    main()
