"""Alerts as lines."""

import io

from rich.console import Console

from consumers.console import ConsoleSink, alert_line
from consumers.stopping import Stop
from tests.consumers.made import make_alert


def test_a_line_says_when_who_where_how_much_how_sure_and_why() -> None:
    assert alert_line(make_alert()).plain == (
        "2018-04-01 00:00:00Z  0.750  customer c1  terminal m1  amount 12.50  12 transactions in 24 h"
        "  [t1, model logistic-1]"
    )


def test_without_a_terminal_each_alert_is_one_plain_line() -> None:
    output = io.StringIO()
    sink = ConsoleSink(Console(file=output, width=40))
    assert sink.deliver(make_alert("a"), Stop())
    assert sink.deliver(make_alert("b"), Stop())
    lines = output.getvalue().splitlines()
    assert len(lines) == 2
    assert "\x1b" not in output.getvalue()
    assert "[b, model logistic-1]" in lines[1]


def test_identifiers_cannot_move_the_cursor_nor_forge_a_line_nor_markup() -> None:
    line = alert_line(make_alert(customer_id="c\x1b[2J\nfine", terminal_id="[red]m[/red]")).plain
    assert "\x1b" not in line
    assert "\n" not in line
    assert "customer c?[2J?fine  terminal [red]m[/red]" in line


def test_an_alert_without_reasons_says_so() -> None:
    assert "no single reason stands out" in alert_line(make_alert(reasons=())).plain
