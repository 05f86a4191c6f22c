"""A decoder for what the stream puts out, tolerant of records that somebody else put there."""

import logging
from typing import Generic, TypeVar

import msgspec

from stream.cards import mask_cards
from stream.records import UNREADABLE, Record

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)


class Decoder(Generic[T]):
    """Decodes records of one type.

    Parameters
    ----------
    record_type
        Which; one of :mod:`stream.records`.

    Examples
    --------
    >>> from stream.records import Label
    >>> decoder = Decoder(Label)
    >>> decoder(Record("labels", 0, 7, 0, None, b"nonsense")) is None, decoder.foreign
    (True, 1)
    """

    def __init__(self, record_type: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(record_type)
        self.foreign = 0
        """Records that were not of the type, and were passed over."""

    def __call__(self, record: Record) -> T | None:
        """Return what `record` holds; None, counted and logged, when it is foreign."""
        try:
            return self._decoder.decode(record.value or b"")
        except UNREADABLE as error:
            self.foreign += 1
            # The place is enough to look it up; its content, which an error may name, can be a card number.
            _log.warning(
                "%s/%d at %d is not a record of ours and is passed over: %s",
                *(record.topic, record.partition, record.offset, mask_cards(str(error))),
            )
            return None
