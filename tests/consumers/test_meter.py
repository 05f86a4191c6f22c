"""The desk's pulse: it tells of any failing case store, not only of one that is away."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiohttp import web

from consumers.cases.connection import CaseStoreAwayError
from consumers.desk.meter import pulse
from consumers.metrics import DeskMetrics


class Failing:
    """A database whose every question ends in an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = asyncio.Event()

    async def ask(self, _question: Any) -> Any:
        self.asked.set()
        raise self.error


@pytest.mark.parametrize(
    "error", [CaseStoreAwayError("nobody answers"), psycopg.errors.UndefinedTable("no such table")]
)
def test_a_case_store_that_fails_is_not_up(error: Exception) -> None:
    metrics = DeskMetrics()
    metrics.up.set(1)

    async def look_once() -> None:
        database: Any = Failing(error)
        async with asynccontextmanager(pulse(database, metrics))(web.Application()):
            await database.asked.wait()

    asyncio.run(look_once())
    assert metrics.registry.get_sample_value("fraud_case_store_up") == 0
