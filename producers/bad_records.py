"""Bad records: what upstreams send by mistake, at least one for every reason to refuse a transaction."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from stream.decoding import MAX_RECORD_BYTES
from stream.records import Transaction, encode


def spoil(transaction: Transaction, rng: np.random.Generator) -> bytes:
    """Return bytes that could have been meant as `transaction`, and that no pipeline should take for one.

    Examples
    --------
    >>> fine = Transaction(
    ...     transaction_id="t1", event_time=1_700_000_000_000, customer_id="c", terminal_id="t", amount=1.0
    ... )
    >>> spoil(fine, np.random.default_rng(1)) != encode(fine)
    True
    """
    return _WAYS[int(rng.integers(len(_WAYS)))](transaction)


def _with(**wrong: Any) -> Callable[[Transaction], bytes]:
    return lambda transaction: msgspec.json.encode(msgspec.to_builtins(transaction) | wrong)


def _without(field: str) -> Callable[[Transaction], bytes]:
    def spoilt(transaction: Transaction) -> bytes:
        values = msgspec.to_builtins(transaction)
        del values[field]
        return msgspec.json.encode(values)

    return spoilt


_WAYS: Final[tuple[Callable[[Transaction], bytes], ...]] = (
    lambda transaction: encode(transaction)[:-9],
    lambda transaction: encode(transaction).replace(b'"amount":', b'"amount":NaN,"was":'),
    lambda _: b"",
    lambda _: b"\xff\xfe transaction",
    _without("customer_id"),
    _without("amount"),
    _with(amount="12.50 EUR"),
    _with(amount=-5.0),
    _with(terminal_id=4711),
    _with(transaction_id="x" * 65),
    _with(customer_id="somebody else"),
    _with(event_time=0),
    _with(event_time="yesterday"),
    _with(remark="x" * MAX_RECORD_BYTES),
)
