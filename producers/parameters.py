"""What options of the command line are made of: durations, and columns by field."""

from datetime import timedelta

import click

from stream.adapters.recorded import FIELDS
from stream.durations import parse_duration


class Duration(click.ParamType):
    """A duration such as 7d, 12h, 30m, 10s, 500ms."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the duration as a timedelta."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Column(click.ParamType):
    """Where a field lies in a file: FIELD=NAME."""

    name = "field=name"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the field and the name of its column."""
        if isinstance(value, tuple):
            return value
        field, equals, name = value.partition("=")
        if not (equals and name and field in FIELDS):
            self.fail(f"{value!r} is not FIELD=NAME, the field being one of {', '.join(FIELDS)}", param, ctx)
        return field, name
