"""Programs: the same as JSON, for those that send a token as ``Authorization: Bearer``.

====  ============================  ==================================================================
GET   ``/api/alerts?order=score``   open alerts: the 100 first by `score`, `amount` or `newest`
GET   ``/api/case?transaction=ID``  a transaction, its log, and the customer's history
POST  ``/api/verdicts``             ``{"transaction_id": ..., "is_fraud": ..., "why": ...}``
====  ============================  ==================================================================
"""

from typing import Any

import msgspec
from aiohttp import web
from psycopg import Connection

from consumers.cases import reading
from consumers.cases.verdicts import Verdict
from consumers.desk.database import Database
from consumers.desk.entrance import Entrance
from consumers.desk.gates import Refusal, as_json
from consumers.desk.judging import Judging
from consumers.desk.limiter import Limiter
from consumers.desk.views import LISTED, order_of
from stream.records import UNREADABLE, Identifier


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """A verdict as a program sends it."""

    transaction_id: Identifier
    is_fraud: bool
    why: str


class Programs:
    """The JSON answers; parameters as those of :class:`consumers.desk.views.Views`."""

    def __init__(
        self, entrance: Entrance, database: Database, judging: Judging, verdicts_a_minute: Limiter
    ) -> None:
        self._entrance = entrance
        self._database = database
        self._judging = judging
        self._limiter = verdicts_a_minute

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        """GET /api/alerts."""
        self._entrance.program_of(request)
        order = order_of(request.query.get("order", "score"))
        alerts = await self._database.ask(lambda connection: reading.open_alerts(connection, order, LISTED))
        return as_json({"alerts": alerts})

    async def case(self, request: web.Request) -> web.StreamResponse:
        """GET /api/case."""
        self._entrance.program_of(request)
        name = request.query.get("transaction", "")

        def read(connection: Connection[Any]) -> dict[str, Any]:
            if "\0" in name or (case := reading.case_of(connection, name)) is None:
                raise Refusal(404, f"no transaction {name!r} is in the case store")
            return {
                "case": case,
                "log": reading.log_of(connection, name),
                "history": reading.history_of(connection, case),
            }

        return as_json(await self._database.ask(read))

    async def judge(self, request: web.Request) -> web.StreamResponse:
        """POST /api/verdicts."""
        user = self._entrance.program_of(request)
        if not user.may_judge:
            raise Refusal(403, "to judge takes the role of an analyst")
        wait_seconds = self._limiter.wait_seconds(user.name)
        if wait_seconds:
            raise Refusal(429, f"too many verdicts: wait {wait_seconds} s", wait_seconds)
        self._limiter.count(user.name)
        try:
            said = msgspec.json.decode(await request.read(), type=Said)
        except UNREADABLE as error:
            raise Refusal(400, str(error)) from error
        done = await self._judging.take(
            Verdict(said.transaction_id, said.is_fraud, user.name, said.why, "api")
        )
        return as_json({"transaction_id": said.transaction_id, "status": done.value})
