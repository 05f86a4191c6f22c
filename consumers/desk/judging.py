"""Judging: a verdict from the desk, written down and published at once where Kafka answers."""

import asyncio
import logging
from enum import Enum
from typing import Final

from consumers.cases.connection import CaseStoreAwayError
from consumers.cases.verdicts import Verdict, Via, publish_due, record
from consumers.desk.database import Database
from consumers.desk.gates import Refusal
from consumers.desk.limiter import Limiter
from consumers.desk.users import User
from consumers.metrics import DeskMetrics
from stream.clock import Clock
from stream.errors import InfrastructureError
from stream.ports import Emitter
from stream.tokens import Tokens

VERDICTS_A_MINUTE: Final = 60

_log = logging.getLogger(__name__)


class Judged(Enum):
    """What became of a verdict."""

    PUBLISHED = "published"
    """It is written down, and a label."""
    WAITS = "waits"
    """It is written down; `fraudstream cases` publishes it when Kafka answers."""
    UNCHANGED = "unchanged"
    """The same was said before, and holds."""


class Judging:
    """Takes verdicts.

    Parameters
    ----------
    database
        Where they are written down.
    emitter
        Publishes them; used by one verdict at a time.
    labels_topic
        Where to.
    clock
        The present.
    metrics
        Counts them.
    tokens
        What stands for card numbers that somebody writes.

    Notes
    -----
    A name gives :data:`VERDICTS_A_MINUTE` at most, by whatever way.
    """

    def __init__(
        self,
        database: Database,
        emitter: Emitter,
        labels_topic: str,
        clock: Clock,
        metrics: DeskMetrics,
        tokens: Tokens,
    ) -> None:
        self._verdicts = metrics.verdicts
        self._limiter = Limiter(VERDICTS_A_MINUTE, clock)
        self._database = database
        self._emitter = emitter
        self._labels_topic = labels_topic
        self._clock = clock
        self._tokens = tokens
        self._publishing = asyncio.Lock()

    async def take(self, user: User, transaction_id: str, why: str, via: Via, *, is_fraud: bool) -> Judged:
        """Write a verdict down, and publish what is due.

        Raises
        ------
        Refusal
            This user may not judge, or has judged too much within a minute.
        VerdictError
            Why it cannot be taken.
        CaseStoreAwayError
            It could not be written down.
        """
        if not user.may_judge:
            raise Refusal(403, "You may look at cases; to judge them takes the role of an analyst.")
        wait_seconds = self._limiter.wait_seconds(user.name)
        if wait_seconds:
            raise Refusal(429, f"That were many verdicts: wait {wait_seconds} s.", wait_seconds)
        self._limiter.count(user.name)
        verdict = Verdict(transaction_id, is_fraud, user.name, why, via)
        done = await self._take(verdict.without_cards(self._tokens))
        self._verdicts.labels("fraud" if is_fraud else "legitimate", done.value).inc()
        return done

    async def _take(self, verdict: Verdict) -> Judged:
        recorded = await self._database.ask(lambda connection: record(connection, verdict, self._clock))
        if not recorded.is_new:
            return Judged.UNCHANGED
        try:
            async with self._publishing:
                await self._database.ask(
                    lambda connection: publish_due(connection, self._emitter, self._labels_topic)
                )
        except (InfrastructureError, CaseStoreAwayError) as error:
            _log.warning("a verdict is written down and still to be published: %s", error)
            return Judged.WAITS
        return Judged.PUBLISHED
