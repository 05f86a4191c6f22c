"""The console as a sink of alerts: a coloured line each on a terminal, a plain one anywhere else."""

from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from consumers.stopping import Stop
from stream.records import Alert

_CERTAIN: Final = 0.9
"""Scores from here on are shown in red, lower ones in yellow."""


class ConsoleSink:
    """Prints alerts.

    Parameters
    ----------
    console
        Where to; decides by itself whether it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def deliver(self, alert: Alert, stop: Stop) -> bool:
        """Print `alert`."""
        del stop
        self._console.print(alert_line(alert), soft_wrap=True)
        return True


def alert_line(alert: Alert) -> Text:
    """Return an alert as one line: time, score, customer, terminal, amount, reasons in words.

    Identifiers come from outside: whatever could move the cursor or forge a line is shown as a question mark.
    """
    moment = datetime.fromtimestamp(alert.event_time / 1000, tz=UTC)
    reasons = "; ".join(reason.text for reason in alert.reasons) or "no single reason stands out"
    colour = "bold red" if alert.score >= _CERTAIN else "bold yellow"
    return Text.assemble(
        (f"{moment:%Y-%m-%d %H:%M:%S}Z", "dim"),
        "  ",
        (f"{alert.score:.3f}", colour),
        "  customer ",
        (_printable(alert.customer_id), "cyan"),
        "  terminal ",
        (_printable(alert.terminal_id), "cyan"),
        f"  amount {alert.amount:.2f}  ",
        _printable(reasons),
        (f"  [{_printable(alert.transaction_id)}, model {_printable(alert.model_version)}]", "dim"),
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
