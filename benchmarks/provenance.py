"""Where a result comes from: the command, the machine, the versions."""

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stream import kernel

_PACKAGES = ("fraudstream", "faust-streaming", "river", "numpy", "redis", "confluent-kafka")


def provenance(**details: Any) -> dict[str, Any]:
    """Return what belongs beside a result, with `details` such as the seed."""
    spec = sys.modules["__main__"].__spec__
    module = spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).stem
    return {
        # Where a file lies is this machine's affair.
        "command": " ".join([f"python -m {module}", *(Path(arg).name for arg in sys.argv[1:])]),
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "versions": {name: version(name) for name in _PACKAGES},
        "kernel": "compiled" if kernel.in_use() else "off",
        **details,
    }


def write(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result as JSON, where a path was given."""
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n")
