"""A worker process: what it takes to start one."""

import subprocess
import sys


def test_a_scorer_starts_without_the_libraries_that_models_learn_with() -> None:
    """They take longer to import than all the rest, and a scorer that is waited for has no use for them."""
    ended = subprocess.run(
        [sys.executable, "-c", "import sys, stream.worker, stream.worker.scorer; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {name.partition(".")[0] for name in ended.stdout.split()}
    assert "faust" in imported
    assert not imported & {"lightgbm", "pyarrow", "scipy", "sklearn"}
