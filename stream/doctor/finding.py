"""A finding: one thing that the doctor looked at, how it is, and what to do."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How something is."""

    GOOD = "good"
    WARNING = "warning"
    """The pipeline runs, and will lose something or be refused some day."""
    WRONG = "wrong"
    """The pipeline will not run, or not for long."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    about: str
    """Of a few words: `settings`, `Kafka`, `topics`, ..."""
    state: State
    text: str
    """A sentence: how it is, and, unless that is good, what to do."""


def good(about: str, text: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(about, State.GOOD, text)


def warning(about: str, text: str) -> Finding:
    """Return a finding that asks for something before it becomes urgent."""
    return Finding(about, State.WARNING, text)


def wrong(about: str, text: str) -> Finding:
    """Return a finding that must be mended first."""
    return Finding(about, State.WRONG, text)
