"""A recording: transactions of the past, in event-time order, with what each turned out to be."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stream.decoding import transaction_called
from stream.errors import FraudstreamError
from stream.records import Transaction
from stream.tokens import Tokens


class RecordingError(FraudstreamError):
    """A recording cannot be read on: a row without an identifier, or too far out of order."""


class Recorded(NamedTuple):
    """One transaction of a recording, and its truth."""

    transaction: Transaction
    """Gives the place in event time and the key, even where `raw` is what gets published."""
    is_fraud: bool | None = None
    """What its label will say; None when it never gets one."""
    raw: bytes | None = None
    """Published instead of the transaction: a record that the pipeline is to refuse. A backtest skips it."""


def tokenised(source: Iterable[Recorded], tokens: Tokens) -> Iterator[Recorded]:
    """Yield a recording whose identifiers are called as `tokens` have it, as the pipeline calls them.

    Without a key for tokens nothing changes: the pipeline refuses what holds a card number.
    """
    if tokens.scope == "off" or not tokens.keyed:
        yield from source
        return
    for one in source:
        yield Recorded(transaction_called(one.transaction, tokens), one.is_fraud, tokens.value(one.raw))
