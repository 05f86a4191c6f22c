"""Deliveries: the labels that become known at one moment, as a chargeback file brings them.

Replay and backtest share these rules, so that both see every label at the same point of the stream:

- a label is due at the first delivery at or after its transaction's event time plus the delay;
- everything before a delivery happens before it: a transaction at or after a delivery's time comes after
  that delivery's labels, one before it comes before them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stream.recording import Recorded
from stream.records import Label

DEFAULT_CHUNK = 5_000


class Transactions(NamedTuple):
    """Transactions between two deliveries, in event order."""

    records: list[Recorded]


class Labels(NamedTuple):
    """All labels that become known between two transactions, ordered by label time, then event order."""

    labels: list[Label]


def due_ms(event_time_ms: int, delay_ms: int, cadence_ms: int) -> int:
    """Return when a transaction's label becomes known.

    Parameters
    ----------
    event_time_ms
        Of the transaction, milliseconds since 1970.
    delay_ms
        The verification latency, milliseconds.
    cadence_ms
        Time between two deliveries, counted from 1970, milliseconds; 0 delivers each label at its own time.

    Examples
    --------
    Delivered on the hour, ten minutes' delay: what happened at 0:55 is known at 2:00, not at 1:05.

    >>> due_ms(55 * 60_000, delay_ms=10 * 60_000, cadence_ms=3_600_000) // 60_000
    120
    >>> due_ms(50 * 60_000, delay_ms=10 * 60_000, cadence_ms=3_600_000) // 60_000
    60
    """
    known_ms = event_time_ms + delay_ms
    return known_ms if cadence_ms == 0 else -(-known_ms // cadence_ms) * cadence_ms


def deliveries(
    source: Iterable[Recorded],
    delay_ms: int,
    cadence_ms: int,
    *,
    after_end: bool = False,
    chunk: int = DEFAULT_CHUNK,
) -> Iterator[Transactions | Labels]:
    """Cut a recording into what happens between two deliveries.

    Parameters
    ----------
    source
        In event-time order.
    delay_ms, cadence_ms
        As in :func:`due_ms`.
    after_end
        Whether labels that become known only after the last transaction follow at the end. Otherwise they
        are left out, as they would not be known yet.
    chunk
        Most transactions in one step.

    Yields
    ------
    Transactions | Labels
        Steps in the order in which they happen. A step is never empty.

    Raises
    ------
    ValueError
        A delay or cadence is negative, or the source goes back in event time.

    Notes
    -----
    Keeps the labels of one delay plus one cadence in memory, about 150 bytes each.

    With a delay of 0 a label still follows its own transaction: nobody knows before it happened.

    Examples
    --------
    >>> from stream.records import Transaction
    >>> source = [
    ...     Recorded(
    ...         Transaction(transaction_id=i, event_time=t, customer_id="c", terminal_id="t", amount=1.0),
    ...         is_fraud=False,
    ...     )
    ...     for i, t in [("a", 0), ("b", 9), ("c", 10), ("d", 31)]
    ... ]
    >>> for step in deliveries(source, delay_ms=10, cadence_ms=5):
    ...     match step:
    ...         case Labels(labels):
    ...             print("known: ", [(label.transaction_id, label.label_time) for label in labels])
    ...         case Transactions(records):
    ...             print("happen:", [record.transaction.transaction_id for record in records])
    happen: ['a', 'b']
    known:  [('a', 10)]
    happen: ['c']
    known:  [('b', 20), ('c', 20)]
    happen: ['d']
    """
    if delay_ms < 0 or cadence_ms < 0:
        raise ValueError(
            f"a delay of {delay_ms} ms and a cadence of {cadence_ms} ms: neither can be negative"
        )
    # The due time grows with the event time, so a queue in event order is in order of label time as well.
    waiting: deque[Label] = deque()
    records: list[Recorded] = []
    now_ms = 0
    for record in _in_event_order(source):
        now_ms = record.transaction.event_time
        labels = _known(waiting, now_ms)
        if records and (labels or len(records) >= chunk):
            yield Transactions(records)
            records = []
        if labels:
            yield Labels(labels)
        records.append(record)
        if record.is_fraud is not None:
            waiting.append(_label(record, due_ms(now_ms, delay_ms, cadence_ms)))
    if records:
        yield Transactions(records)
    # Without a delay, a label can be due at the last transaction's own time.
    last = list(waiting) if after_end else _known(waiting, now_ms)
    if last:
        yield Labels(last)


def _in_event_order(source: Iterable[Recorded]) -> Iterator[Recorded]:
    latest = None
    for record in source:
        event_time = record.transaction.event_time
        if latest is not None and event_time < latest:
            raise ValueError(
                f"transaction {record.transaction.transaction_id} at {event_time} comes after one at"
                f" {latest}: a recording is in event-time order"
            )
        latest = event_time
        yield record


def _known(waiting: deque[Label], now_ms: int) -> list[Label]:
    labels = []
    while waiting and waiting[0].label_time <= now_ms:
        labels.append(waiting.popleft())
    return labels


def _label(record: Recorded, label_time: int) -> Label:
    is_fraud = bool(record.is_fraud)
    return Label(
        transaction_id=record.transaction.transaction_id,
        is_fraud=is_fraud,
        # A fraud is known because its victim complained, the rest because nobody did in time.
        source="chargeback" if is_fraud else "settlement",
        label_time=label_time,
    )
