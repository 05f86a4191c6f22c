"""Views: the pages for people. Each is read from the case store when it is asked for."""

from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from aiohttp import web
from psycopg import Connection

from consumers.cases import reading
from consumers.cases.reading import Alerted, Around, Case, Order, Payment, Said, Totals
from consumers.cases.verdicts import LONGEST_REASON
from consumers.desk.database import Database
from consumers.desk.drawing import HEIGHT, WIDTH, draw
from consumers.desk.entrance import Entrance
from consumers.desk.gates import Refusal, page, see_other
from consumers.desk.judging import Judged, Judging
from consumers.desk.rendering import case_path

LISTED: Final = 100
_ORDERS: Final = {"score": "most suspect first", "amount": "largest amount first", "newest": "newest first"}
_NOTICES: Final = {
    Judged.PUBLISHED: "Written down as {judged}, by you. The models learn from it.",
    Judged.WAITS: "Written down as {judged}, by you. Kafka does not answer: the models learn from it once it"
    " does.",
    Judged.UNCHANGED: "It was judged {judged} already; nothing was changed.",
}


@dataclass(frozen=True, eq=False)
class Views:
    """The pages behind the entrance."""

    entrance: Entrance
    database: Database
    judging: Judging

    async def home(self, _request: web.Request) -> web.StreamResponse:
        """GET /."""
        return see_other("/alerts")

    async def open_alerts(self, request: web.Request) -> web.StreamResponse:
        """GET /alerts."""
        session = self.entrance.session_of(request)
        order = order_of(request.query.get("order", "score"))

        def read(connection: Connection[Any]) -> tuple[Totals, list[Alerted]]:
            return reading.totals(connection), reading.open_alerts(connection, order, LISTED)

        totals, alerts = await self.database.ask(read)
        return page(
            "alerts",
            session=session,
            here="open",
            totals=totals,
            alerts=alerts,
            order=order,
            orders=_ORDERS,
            notice=session.take_notice(),
        )

    async def judged_alerts(self, request: web.Request) -> web.StreamResponse:
        """GET /alerts/judged."""
        session = self.entrance.session_of(request)
        alerts = await self.database.ask(lambda connection: reading.judged_alerts(connection, LISTED))
        return page("judged", session=session, here="judged", alerts=alerts, listed=LISTED)

    async def case(self, request: web.Request) -> web.StreamResponse:
        """GET /case?transaction=ID."""
        session = self.entrance.session_of(request)
        name = request.query.get("transaction", "").strip()

        def read(connection: Connection[Any]) -> _Known:
            if "\0" in name or (case := reading.case_of(connection, name)) is None:
                raise Refusal(
                    404,
                    f"No transaction {name!r} is in the case store. Look at its spelling; it may be too old,"
                    " or not filed yet.",
                )
            first = reading.open_alerts(connection, "score", 2)
            return (
                *(case, reading.history_of(connection, case), reading.around(connection, case)),
                *(reading.log_of(connection, name), [one for one in first if one.transaction_id != name]),
            )

        case, history, around, log, first = await self.database.ask(read)
        return page(
            "case",
            session=session,
            here="",
            case=case,
            history=history,
            around=around,
            log=log,
            following=first[0] if first else None,
            drawing=draw(history, name),
            width=WIDTH,
            height=HEIGHT,
            longest=LONGEST_REASON,
            notice=session.take_notice(),
        )

    async def judge(self, request: web.Request) -> web.StreamResponse:
        """POST /case?transaction=ID."""
        session, form = await self.entrance.form_of(request)
        judged = form.get("judged")
        if judged not in {"fraud", "legitimate"}:
            raise Refusal(400, "A verdict says fraud or legitimate.")
        name = request.query.get("transaction", "").strip()
        done = await self.judging.take(
            session.user, name, form.get("why", ""), "desk", is_fraud=judged == "fraud"
        )
        session.notice = _NOTICES[done].format(judged=judged)
        return see_other(case_path(name))


_Known = tuple[Case, list[Payment], Around, list[Said], list[Alerted]]


def order_of(asked: str) -> Order:
    """Return an order that was asked for; the usual one where it is none."""
    return cast("Order", asked) if asked in get_args(Order) else "score"
