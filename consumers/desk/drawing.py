"""A customer's amounts over time as dots, one of them the transaction that is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consumers.cases.reading import Payment

WIDTH: Final = 720
HEIGHT: Final = 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 14, 28


@dataclass(frozen=True)
class Dot:
    """A transaction, where it is drawn."""

    x: float
    y: float
    kind: str
    """`this`, `fraud`, `alert` or `other`."""
    payment: Payment


@dataclass(frozen=True)
class Drawing:
    """What the page draws: x is time, y is the amount from 0 on."""

    dots: Sequence[Dot]
    most: float
    """The amount at the top."""
    top: float
    base: float
    left: float
    right: float


def draw(payments: Sequence[Payment], this: str) -> Drawing | None:
    """Return where the dots lie; None when there is nothing to compare with."""
    if len(payments) < 2:  # noqa: PLR2004 - a lone dot says nothing
        return None
    first = min(payment.event_time for payment in payments)
    span = (max(payment.event_time for payment in payments) - first).total_seconds() or 1.0
    most = max(payment.amount for payment in payments) or 1.0
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    dots = [
        Dot(
            round(_LEFT + wide * (payment.event_time - first).total_seconds() / span, 1),
            round(_TOP + high * (1 - payment.amount / most), 1),
            _kind(payment, this),
            payment,
        )
        for payment in payments
    ]
    # What matters is drawn last, on top of the rest.
    dots.sort(key=lambda dot: ("other", "alert", "fraud", "this").index(dot.kind))
    return Drawing(dots, most, _TOP, HEIGHT - _BOTTOM, _LEFT, WIDTH - _RIGHT)


def _kind(payment: Payment, this: str) -> str:
    if payment.transaction_id == this:
        return "this"
    if payment.state == "fraud":
        return "fraud"
    return "alert" if payment.alerted else "other"
