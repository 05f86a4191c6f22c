"""What the environment asks for: which settings, which are misspelt, and whether models are signed."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from stream.doctor.finding import Finding, good, warning, wrong
from stream.errors import SettingsError
from stream.models.recipes import recipe
from stream.settings import Settings

_PREFIX = "FRAUD_"
_FILE = "_FILE"
"""Ends the name of a variable that gives a secret's file in place of the secret."""


def check_configuration(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is to be said of settings that are valid.

    Parameters
    ----------
    settings
        As they were read.
    environment
        That they were read from.
    """
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = [name for name in environment if name.startswith(_PREFIX)]
    # What another package's command reads is its own business, as long as it looks like none of ours.
    strangers = {name: get_close_matches(name, known, n=1) for name in given if _stem(name) not in known}
    for name, alike in strangers.items():
        if alike:
            yield warning("settings", f"{name} is no setting and changes nothing; {alike[0]} is one")
    for name in (settings.champion, *settings.challengers):
        try:
            recipe(name)
        except SettingsError as error:
            yield wrong("settings", str(error))
    read = sorted(set(given) - strangers.keys())
    yield good(
        "settings",
        f"valid; from the environment: {', '.join(read)}" if read else "valid; all are at their defaults",
    )
    if settings.signing_key is None:
        yield warning(
            "signing key",
            "none: whoever can write to Redis can hand the workers a model; set FRAUD_SIGNING_KEY to the same"
            " 16 characters or more for all of them",
        )


def _stem(name: str) -> str:
    return name.removesuffix(_FILE)
