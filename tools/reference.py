"""The reference pages that are made from the code: `python -m tools.reference` writes them into ``docs``.

With `--check` it says which of them are stale.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from consumers.metrics import DeskMetrics, FilingMetrics
from stream.adapters.metrics import Metrics, bounds_in_rows, in_rows
from stream.adapters.topics import TopicSpec, topic_specs
from stream.cli import main
from stream.clock import DAY_MS
from stream.settings import Settings

FOLDER: Final = Path(__file__).parents[1] / "docs"

_WIDE: Final[dict[str, Any]] = {"terminal_width": 100, "max_content_width": 100}
_SETTINGS: Final = """# Settings

Every process reads its settings from the environment. `fraudstream settings` prints them with their values of
now, and `fraudstream doctor` finds misspelt ones. What is wrong stops the start with one sentence.
Made from the code: `python -m tools.reference`.

"""
_CLI: Final = """# Commands

As `fraudstream COMMAND --help` has it; `fraudstream completion bash|zsh|fish` completes them in a shell.
Made from the code: `python -m tools.reference`.
"""
_SHAPES: Final = """# Shapes of the topics

What `fraudstream topics create` makes and `fraudstream topics check` compares with, under default settings.
[Topics](topics.md) says what lies on each, and why it has its shape.
Made from the code: `python -m tools.reference`.

| topic | partitions | copies | kept for | settings |
|---|---|---|---|---|
"""


_METRICS: Final = """# Metrics

What each process exports on `/metrics`, besides Python's and the process's own (`python_*`, `process_*`).
Made from the code: `python -m tools.reference`.

Units are base units. A counter whose labels are all closed sets has every series from the start, at 0.

## Workers

On `FRAUD_HTTP_PORT`.

| metric | type | labels | meaning |
|---|---|---|---|
{workers}

## The case store's filler

`fraudstream cases`, on `FRAUD_CASES_METRICS_PORT`.

| metric | type | labels | meaning |
|---|---|---|---|
{filler}

## The desk

`fraudstream desk`, on `FRAUD_DESK_METRICS_PORT`.

| metric | type | labels | meaning |
|---|---|---|---|
{desk}

## Buckets

Upper bounds, in the metric's unit; `+Inf` comes after the last.

| histogram | bounds |
|---|---|
{bounds}
"""


def pages() -> dict[str, str]:
    """Return each page by its file's name."""
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "topic-shapes.md": shapes_page(),
        "metrics.md": metrics_page(),
    }


def settings_page() -> str:
    """Return every setting with its default and meaning."""
    sections = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = ",".join(default) if isinstance(default, tuple) else default
        value = "unset" if shown is None else "empty" if shown == "" else f"`{shown}`"
        sections.append(f"## FRAUD_{name.upper()}\n\n{field.description}\n\nDefault: {value}.\n")
    return _SETTINGS + "\n".join(sections)


def commands_page() -> str:
    """Return what every command says of itself."""
    context = click.Context(main, info_name="fraudstream", **_WIDE, **main.context_settings)
    return _CLI + "".join(f"\n## {path}\n\n```\n{text}\n```\n" for path, text in _helps(main, context))


def metrics_page() -> str:
    """Return every metric of every process."""
    every = dict.fromkeys([*Metrics.catalogue(), *FilingMetrics.catalogue(), *DeskMetrics.catalogue()])
    return _METRICS.format(
        workers=in_rows(Metrics.catalogue()),
        filler=in_rows(FilingMetrics.catalogue()),
        desk=in_rows(DeskMetrics.catalogue()),
        bounds=bounds_in_rows(every),
    )


def shapes_page() -> str:
    """Return the shape of every topic."""
    return _SHAPES + "\n".join(_shape(spec) for spec in topic_specs(Settings())) + "\n"


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            # A package of somebody else's may add commands; they are not ours to document.
            found = command.get_command(context, name)
            if found is not None and (found.callback is None or _is_ours(found)):
                inner = click.Context(found, parent=context, info_name=name, **_WIDE)
                yield from _helps(found, inner)


def _is_ours(command: click.Command) -> bool:
    module = getattr(command.callback, "__module__", "")
    return module.partition(".")[0] in {"stream", "producers", "consumers"}


def _shape(spec: TopicSpec) -> str:
    config = dict(spec.config)
    kept = int(config.pop("retention.ms"))
    days = "ever" if kept < 0 else f"{kept / DAY_MS:g} days"
    rest = "<br>".join(f"`{name}={value}`" for name, value in sorted(config.items()))
    return f"| `{spec.name}` | {spec.partitions} | {spec.replication} | {days} | {rest} |"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, text in pages().items() if (FOLDER / name).read_text() != text]
        sys.exit(f"stale: {', '.join(stale)}; run python -m tools.reference" if stale else 0)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
        sys.stdout.write(f"{FOLDER / name}\n")
