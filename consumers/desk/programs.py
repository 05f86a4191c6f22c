"""Programs: the same as JSON, for those that send a token as ``Authorization: Bearer``.

====  ============================  ==================================================================
GET   ``/api/alerts?order=score``   open alerts: the 100 first by `score`, `amount` or `newest`
GET   ``/api/case?transaction=ID``  a transaction, its log, and the customer's history
POST  ``/api/verdicts``             ``{"transaction_id": ..., "is_fraud": ..., "why": ...}``
====  ============================  ==================================================================
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from psycopg import Connection

from consumers.cases import reading
from consumers.desk.database import Database
from consumers.desk.entrance import Entrance
from consumers.desk.gates import Refusal, as_json
from consumers.desk.judging import Judging
from consumers.desk.views import LISTED, order_of
from stream.records import UNREADABLE, Identifier


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """A verdict as a program sends it."""

    transaction_id: Identifier
    is_fraud: bool
    why: str


@dataclass(frozen=True, eq=False)
class Programs:
    """The JSON answers."""

    entrance: Entrance
    database: Database
    judging: Judging

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        """GET /api/alerts."""
        self.entrance.program_of(request)
        order = order_of(request.query.get("order", "score"))
        alerts = await self.database.ask(lambda connection: reading.open_alerts(connection, order, LISTED))
        return as_json({"alerts": alerts})

    async def case(self, request: web.Request) -> web.StreamResponse:
        """GET /api/case."""
        self.entrance.program_of(request)
        name = request.query.get("transaction", "")

        def read(connection: Connection[Any]) -> dict[str, Any]:
            if "\0" in name or (case := reading.case_of(connection, name)) is None:
                raise Refusal(404, f"no transaction {name!r} is in the case store")
            return {
                "case": case,
                "log": reading.log_of(connection, name),
                "history": reading.history_of(connection, case),
            }

        return as_json(await self.database.ask(read))

    async def judge(self, request: web.Request) -> web.StreamResponse:
        """POST /api/verdicts."""
        user = self.entrance.program_of(request)
        try:
            said = msgspec.json.decode(await request.read(), type=Said)
        except UNREADABLE as error:
            raise Refusal(400, str(error)) from error
        done = await self.judging.take(user, said.transaction_id, said.why, "api", is_fraud=said.is_fraud)
        return as_json({"transaction_id": said.transaction_id, "status": done.value})
