"""How bytes become records: strictly, and what cannot be used becomes a dead letter.

An unknown field is ignored; a missing or wrong one makes the record a :class:`~stream.records.DeadLetter`.
Identifiers that look like card numbers become tokens on the way.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from stream import kernel
from stream.cards import SHORTEST, mask_cards, suspicious, suspicious_bytes
from stream.clock import DAY_MS
from stream.columns import Transactions
from stream.records import UNREADABLE, DeadLetter, DeadLetterReason, Label, Record, Transaction
from stream.tokens import NO_TOKENS, Tokens

MAX_RECORD_BYTES: Final = 16_384
"""A transaction or label longer than this is refused before it is parsed."""
EARLIEST_EVENT_MS: Final = 946_684_800_000
"""2000-01-01: no payment of an earlier date is being authorised."""
MAX_FUTURE_MS: Final = DAY_MS
"""How far an event time may lie ahead of the clock before it is taken for a fault of the sender."""

T = TypeVar("T")


class Decoded(NamedTuple, Generic[T]):
    """A record batch after decoding: what can be used with where it lay, and what cannot."""

    records: list[T]
    places: list[Record]
    """The undecoded twin of each element of ``records``."""
    dead_letters: list[DeadLetter]
    tokenised: int = 0
    """Records among those that can be used in which a token stands for an identifier."""


class DecodedColumns(NamedTuple):
    """A record batch of transactions after decoding, side by side."""

    transactions: Transactions
    places: list[Record]
    """The undecoded twin of each transaction; the record batch itself where it was fine throughout."""
    dead_letters: list[DeadLetter]
    tokenised: int
    """Transactions in which a token stands for an identifier."""


def decode_transactions(
    batch: Sequence[Record], now_ms: int, tokens: Tokens = NO_TOKENS
) -> Decoded[Transaction]:
    """Decode a record batch of ``transactions``.

    Parameters
    ----------
    batch
        Records of one partition, in offset order.
    now_ms
        The present, milliseconds since 1970: event times more than `MAX_FUTURE_MS` past it are refused.
    tokens
        What identifiers are called.

    Returns
    -------
    Decoded
        Every record of `batch`, either as a transaction or as a dead letter. Nothing is raised.

    Examples
    --------
    >>> bad = Record("transactions", 0, 7, 0, b"c1", b'{"oops"')
    >>> decoded = decode_transactions([bad], now_ms=0)
    >>> decoded.dead_letters[0].reason.value, decoded.dead_letters[0].detail
    ('malformed_json', 'Input data was truncated')
    """
    decoded: Decoded[Transaction] = Decoded([], [], [])
    latest = now_ms + MAX_FUTURE_MS
    for place in batch:
        value = place.value
        transaction: Transaction | DeadLetter | None
        try:
            # Nearly always all is well; where it is not, `_decode` finds out why.
            transaction = _TRANSACTIONS.decode(value) if value and len(value) <= MAX_RECORD_BYTES else None
        except UNREADABLE:
            transaction = None
        if transaction is None:
            transaction = _decode(place, _TRANSACTIONS, Transaction, "event_time", now_ms)
        if isinstance(transaction, DeadLetter):
            decoded.dead_letters.append(transaction)
        elif not EARLIEST_EVENT_MS <= transaction.event_time <= latest:
            decoded.dead_letters.append(_absurd_time(place, "event_time", transaction.event_time, now_ms))
        elif place.key != transaction.customer_id.encode():
            detail = "the record's key must be the customer_id, so that one worker sees all of a customer"
            decoded.dead_letters.append(dead_letter(place, DeadLetterReason.MISKEYED, detail, now_ms))
        else:
            decoded.records.append(transaction)
            decoded.places.append(place)
    if tokens.scope == "off":
        return decoded
    return _discreet(
        decoded, _suspect_transactions(decoded.records, tokens), transaction_called, tokens, now_ms
    )


def decode_columns(batch: Sequence[Record], now_ms: int, tokens: Tokens = NO_TOKENS) -> DecodedColumns:
    """Decode a record batch of ``transactions`` into columns; see :func:`decode_transactions`.

    The kernel reads what is plainly fine. All else, right or wrong, goes the way of single records.
    """
    if not kernel.in_use() or tokens.scope == "customers":
        decoded = decode_transactions(batch, now_ms, tokens)
        return DecodedColumns(Transactions.of(decoded.records), *decoded[1:])
    places = batch if isinstance(batch, list) else list(batch)
    event_times, amounts = np.empty(len(places), np.int64), np.empty(len(places), np.float64)
    latest, careful = now_ms + MAX_FUTURE_MS, tokens.scope != "off"
    names, customers, terminals, countries, categories, channels, left = kernel.reading.read(
        places, EARLIEST_EVENT_MS, latest, MAX_RECORD_BYTES, careful, event_times, amounts
    )
    read = Transactions(names, customers, terminals, event_times, amounts, countries, categories, channels)
    if not left:
        return DecodedColumns(read, places, [], 0)
    decoded = decode_transactions([places[n] for n in left], now_ms, tokens)
    refused = _fill(read, left, places, decoded)
    if refused:
        kept = [n for n in range(len(places)) if n not in refused]
        read, places = read.take(kept), [places[n] for n in kept]
    return DecodedColumns(read, places, decoded.dead_letters, decoded.tokenised)


def decode_labels(batch: Sequence[Record], now_ms: int, tokens: Tokens = NO_TOKENS) -> Decoded[Label]:
    """Decode a record batch of ``labels``; see :func:`decode_transactions`.

    The undecoded twins are free of card numbers, too: a label that waits is kept with its own.
    """
    decoded: Decoded[Label] = Decoded([], [], [])
    latest = now_ms + MAX_FUTURE_MS
    for place in batch:
        label = _decode(place, _LABELS, Label, "label_time", now_ms)
        if isinstance(label, DeadLetter):
            decoded.dead_letters.append(label)
        elif not EARLIEST_EVENT_MS <= label.label_time <= latest:
            decoded.dead_letters.append(_absurd_time(place, "label_time", label.label_time, now_ms))
        else:
            decoded.records.append(label)
            decoded.places.append(place)
    if tokens.scope == "off":
        return decoded
    suspects = [n for n, one in enumerate(decoded.records) if len(one.transaction_id) >= SHORTEST]
    decoded = _discreet(decoded, suspects, label_called, tokens, now_ms)
    # All at once, as nearly always there is nothing to find.
    if suspicious_bytes(b"\n".join([part for place in decoded.places for part in place[-2:] if part])):
        decoded.places[:] = [_discreet_place(place, tokens) for place in decoded.places]
    return decoded


def label_called(label: Label, tokens: Tokens) -> Label:
    """Return a label with its transaction called as `tokens` have it; itself where nothing changes."""
    name = tokens.identifier(label.transaction_id)
    return label if name == label.transaction_id else replace(label, transaction_id=name)


def transaction_called(transaction: Transaction, tokens: Tokens) -> Transaction:
    """Return a transaction whose identifiers are called as `tokens` have it; itself where nothing changes."""
    one = transaction
    transaction_id, customer_id = tokens.identifier(one.transaction_id), tokens.customer(one.customer_id)
    terminal_id = tokens.identifier(one.terminal_id)
    if (transaction_id, customer_id, terminal_id) == (one.transaction_id, one.customer_id, one.terminal_id):
        return one
    return replace(one, transaction_id=transaction_id, customer_id=customer_id, terminal_id=terminal_id)


def dead_letter(place: Record, reason: DeadLetterReason, detail: str, now_ms: int) -> DeadLetter:
    """Wrap a record that could not be used, whole."""
    return DeadLetter(
        reason=reason,
        # A number that is cut in two would not be found any more.
        detail=detail if len(detail) <= _MOST_DETAIL else f"{mask_cards(detail)[:_MOST_DETAIL]}...",
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
        timestamp=place.timestamp,
        key=place.key,
        value=place.value,
        failed_at=now_ms,
    )


_MOST_DETAIL: Final = 500
"""Characters: what names a value that was sent may be as long as that."""
_TRANSACTIONS = msgspec.json.Decoder(Transaction)
_LABELS = msgspec.json.Decoder(Label)

R = TypeVar("R", Transaction, Label)


def _decode(
    place: Record, decoder: msgspec.json.Decoder[R], record_type: type[R], time_field: str, now_ms: int
) -> R | DeadLetter:
    value = place.value
    if not value:
        return dead_letter(place, DeadLetterReason.EMPTY, "the record has no value", now_ms)
    if len(value) > MAX_RECORD_BYTES:
        detail = f"{len(value)} bytes, where {MAX_RECORD_BYTES} are allowed"
        return dead_letter(place, DeadLetterReason.OVERSIZED, detail, now_ms)
    try:
        try:
            return decoder.decode(value)
        except msgspec.ValidationError as error:
            if not str(error).endswith(f"got `str` - at `$.{time_field}`"):
                raise
            return _with_iso_time(value, record_type, time_field)
    except msgspec.ValidationError as error:
        return dead_letter(place, _field_reason(str(error)), str(error), now_ms)
    except UNREADABLE as error:
        return dead_letter(place, DeadLetterReason.MALFORMED_JSON, str(error), now_ms)


def _suspect_transactions(records: Sequence[Transaction], tokens: Tokens) -> Sequence[int]:
    """Return the places of those whose identifiers are to be looked at; nearly always there are none."""
    if tokens.scope == "customers":
        return range(len(records))
    long = [
        n
        for n, one in enumerate(records)
        if len(one.transaction_id) >= SHORTEST
        or len(one.customer_id) >= SHORTEST
        or len(one.terminal_id) >= SHORTEST
    ]
    names = [
        f"{one.transaction_id}\n{one.customer_id}\n{one.terminal_id}"
        for one in map(records.__getitem__, long)
    ]
    if not suspicious("\n".join(names).encode()):
        return ()
    return [n for n, name in zip(long, names, strict=True) if suspicious(name.encode())]


def _fill(
    read: Transactions, left: Sequence[int], places: Sequence[Record], decoded: Decoded[Transaction]
) -> set[int]:
    """Put what was decoded where it had been left; return where nothing was."""
    refused = set()
    found = 0
    for n in left:
        # Both are in offset order, and a record that is there twice is decoded twice or not at all.
        if found == len(decoded.places) or decoded.places[found] is not places[n]:
            refused.add(n)
            continue
        one = decoded.records[found]
        found += 1
        read.names[n], read.customers[n] = one.transaction_id, one.customer_id
        read.terminals[n], read.channels[n] = one.terminal_id, one.channel
        read.countries[n], read.categories[n] = one.country, one.merchant_category
        read.event_times[n], read.amounts[n] = one.event_time, one.amount
    return refused


def _discreet(
    decoded: Decoded[R],
    suspects: Sequence[int],
    called: Callable[[R, Tokens], R],
    tokens: Tokens,
    now_ms: int,
) -> Decoded[R]:
    """Call identifiers as `tokens` have it, and keep card numbers out of the dead letters."""
    records, places, letters, _ = decoded
    changed = 0
    refused = []
    for n in suspects:
        before = records[n]
        records[n] = called(before, tokens)
        if records[n] is not before:
            changed += 1
            if not tokens.keyed:
                refused.append(n)
    for n in reversed(refused):
        letters.append(dead_letter(places.pop(n), DeadLetterReason.CARD_NUMBER, _NO_KEY, now_ms))
        del records[n]
    letters[:] = [_discreet_letter(letter, tokens) for letter in letters]
    return decoded._replace(tokenised=changed - len(refused))


_NO_KEY: Final = (
    "an identifier is a card number, and there is no key to make a token of it: set FRAUD_TOKEN_KEY, or send"
    " tokens"
)


def _discreet_letter(letter: DeadLetter, tokens: Tokens) -> DeadLetter:
    key, value, detail = tokens.key(letter.key), tokens.value(letter.value), tokens.text(letter.detail)
    if (key, value, detail) == (letter.key, letter.value, letter.detail):
        return letter
    withheld: Literal["tokens", "masked"] = "tokens" if tokens.keyed else "masked"
    detail += "; tokens stand for what is confidential in it" if tokens.keyed else "; card numbers are masked"
    return replace(letter, key=key, value=value, detail=detail, withheld=withheld)


def _discreet_place(place: Record, tokens: Tokens) -> Record:
    key, value = tokens.key(place.key), tokens.value(place.value)
    return place if (key, value) == (place.key, place.value) else place._replace(key=key, value=value)


def _with_iso_time(value: bytes, record_type: type[R], time_field: str) -> R:
    """Decode a record whose time is an RFC 3339 string: the slow way, for senders without milliseconds."""
    fields = msgspec.json.decode(value)
    try:
        moment = msgspec.convert(fields[time_field], Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{error} - at `$.{time_field}`") from None
    fields[time_field] = round(moment.timestamp() * 1000)
    return msgspec.convert(fields, record_type)


def _field_reason(error: str) -> DeadLetterReason:
    if error.endswith("`$.amount`"):
        return DeadLetterReason.INVALID_AMOUNT
    if error.endswith(("`$.event_time`", "`$.label_time`")):
        return DeadLetterReason.INVALID_TIME
    return DeadLetterReason.INVALID_FIELD


def _absurd_time(place: Record, field: str, value: int, now_ms: int) -> DeadLetter:
    detail = (
        f"{value} is not a time of this stream: `$.{field}` is in milliseconds since 1970-01-01 UTC,"
        " from the year 2000 to a day ahead of the clock"
    )
    return dead_letter(place, DeadLetterReason.INVALID_TIME, detail, now_ms)
