"""The kernel: the arithmetic of the hot path and what it sends, compiled, where it could be.

Each function here has a twin in Python that says what is computed and that runs where there was no compiler
when fraudstream was installed; both give the same to the last bit, which tests hold against each other. What
is compiled takes arrays as they lie and does not check them: its callers, the twins' modules, do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stream.errors import SettingsError

try:
    from stream.kernel import _drawing as drawing
    from stream.kernel import _features as features
    from stream.kernel import _models as models
    from stream.kernel import _packing as packing
    from stream.kernel import _pending as pending
    from stream.kernel import _reading as reading
    from stream.kernel import _wire as wire
    from stream.kernel import _writing as writing
except ImportError:
    _built = False
else:
    _built = True

BUILT: Final = _built
"""Whether it is there."""
_used = _built


def in_use() -> bool:
    """Tell whether what is compiled is to be called."""
    return _used


def choose(wanted: str) -> None:
    """Use it or not, in this process.

    Parameters
    ----------
    wanted
        "auto": where it is there; "on": always; "off": never.

    Raises
    ------
    SettingsError
        It is wanted, and not there.
    """
    global _used  # noqa: PLW0603 - a process has one
    if wanted == "on" and not BUILT:
        raise SettingsError(
            "FRAUD_KERNEL=on: the compiled kernel is not there; install fraudstream again where a C compiler"
            " and Python's headers are, or set FRAUD_KERNEL=auto"
        )
    _used = BUILT and wanted != "off"


@contextmanager
def using(on: bool) -> Iterator[None]:
    """Use it or not for a while: what compares the two wants that."""
    global _used  # noqa: PLW0603
    before, _used = _used, on and BUILT
    try:
        yield
    finally:
        _used = before


__all__ = [
    "BUILT",
    "choose",
    "drawing",
    "features",
    "in_use",
    "models",
    "packing",
    "pending",
    "reading",
    "using",
    "wire",
    "writing",
]
