"""Discreet log lines: whatever is logged, by whomever, without card numbers."""

import logging

from stream.cards import mask_cards


class Discreet(logging.Formatter):
    """Masks card numbers in whatever is logged, tracebacks and libraries' lines included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return mask_cards(super().format(record))
