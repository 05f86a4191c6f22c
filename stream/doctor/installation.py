"""What is installed: Python, and every library in a version that this one was made for."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

from stream import __version__, kernel
from stream.doctor.finding import Finding, good, warning, wrong


def check_installation(name: str = "fraudstream") -> Iterator[Finding]:
    """Yield what is to be said of a distribution's requirements; extras are left to their commands."""
    mismatches = list(_mismatches(name))
    for mismatch in mismatches:
        yield wrong("versions", f"{mismatch}; install it again: pip install --upgrade {name}")
    if not mismatches:
        yield good(
            "versions",
            f"fraudstream {__version__} on Python {platform.python_version()}, every library as required",
        )


def check_kernel() -> Finding:
    """Say whether the kernel was compiled."""
    if kernel.BUILT:
        return good("kernel", "compiled")
    return warning(
        "kernel",
        "not compiled: scoring takes two to three times as long; install fraudstream again where a C compiler"
        " and Python's headers are (Debian: gcc, python3-dev)",
    )


def _mismatches(name: str) -> Iterator[str]:
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is not installed, where {requirement.specifier or 'it'} is required"
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield f"{requirement.name} is {found}, where {requirement.specifier} is required"
