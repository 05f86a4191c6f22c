"""The desk over a real PostgreSQL: who gets in, what they see, what they may do, and what they are told."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import pytest
from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner
from prometheus_client import generate_latest

from consumers.cases.store import CaseStore
from consumers.desk.database import Database
from consumers.desk.entrance import COOKIE, TRIES
from consumers.desk.server import desk_app
from consumers.desk.sessions import IDLE_MS, LASTS_MS
from consumers.desk.users import Users, new_user
from consumers.metrics import DeskMetrics
from stream.cli import main
from stream.clock import DAY_MS, MINUTE_MS, ManualClock
from stream.errors import InfrastructureError
from stream.ports import Outgoing
from stream.records import Label, Reason
from stream.tokens import Tokens
from tests.consumers.made import T0, make_alert, make_score
from tests.services.case_traffic import batch, made_label
from tests.services.postgres_server import PostgresServer, rows
from tests.services.waiting import eventually

ANA, _ANA_ENTRY = new_user("ana", "analyst")
VIC, _VIC_ENTRY = new_user("vic", "viewer")
NASTY = '"><script>alert(1)</script>'
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


class Broker:
    """Stands for Kafka: takes labels into a list, or is away."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.is_away = False

    def emit(self, records: Iterable[Outgoing]) -> None:
        if self.is_away:
            raise InfrastructureError("Kafka is away")
        self.labels += [msgspec.json.decode(record.value or b"", type=Label) for record in records]


class Visitor:
    """A browser without scripts."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> tuple[ClientResponse, str]:
        response = await self.client.get(path, headers=headers)
        return response, await response.text()

    async def post(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None, *, follow: bool = True
    ) -> tuple[ClientResponse, str]:
        response = await self.client.post(
            path, data=fields, headers=SAME_SITE if headers is None else headers, allow_redirects=follow
        )
        return response, await response.text()

    async def log_in(self, token: str, to: str = "") -> tuple[ClientResponse, str]:
        return await self.post("/login", {"token": token, "to": to})

    async def form_token(self, path: str = "/alerts") -> str:
        _, text = await self.get(path)
        found = re.search(r'name="form" value="([^"]+)"', text)
        assert found is not None, text
        return found[1]

    async def judge(
        self, name: str, judged: str, why: str = "called the customer"
    ) -> tuple[ClientResponse, str]:
        path = f"/case?transaction={name}"
        return await self.post(path, {"form": await self.form_token(), "judged": judged, "why": why})


class Desk:
    """A desk with two open alerts, in this process."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.broker = Broker()
        self.clock = ManualClock(T0 + DAY_MS)
        self.metrics = DeskMetrics()
        reasons = (
            Reason(feature="a", value=1.0, contribution=3.0, text="12 transactions in 24 h, usually 2"),
            Reason(feature="b", value=1.0, contribution=1.0, text="amount 900.00, usually 45.00"),
        )
        with CaseStore(dsn) as store:
            store.migrate()
            store.file(
                batch(
                    make_alert("t1", amount=900.0, score=0.93, reasons=reasons, event_time=T0 + DAY_MS),
                    make_alert("t2", amount=1_200.0, score=0.61),
                    *(make_score(f"h{n}", amount=40.0 + n, event_time=T0 + n * 3_600_000) for n in range(6)),
                    made_label("h5", is_fraud=True),
                    make_score(NASTY, customer_id=NASTY, terminal_id=NASTY),
                )
            )

    def visit(self, scenario: Callable[[Visitor], Awaitable[None]]) -> None:
        """Run a scenario to its end."""

        async def run() -> None:
            database = Database(self.dsn)
            try:
                await database.open()
                users = Users(f"{_ANA_ENTRY},{_VIC_ENTRY}")
                app = desk_app(database, users, self.broker, "labels", self.clock, self.metrics, Tokens())
                async with TestServer(app) as server:
                    jar = CookieJar(unsafe=True, treat_as_secure_origin=[server.make_url("/")])
                    async with TestClient(server, cookie_jar=jar) as client:
                        await scenario(Visitor(client))
            finally:
                await database.close()

        asyncio.run(run())


@pytest.fixture
def desk(case_store: str) -> Desk:
    return Desk(case_store)


PAGES = ("/", "/alerts", "/alerts/judged", "/case?transaction=t1")


def test_nobody_sees_anything_before_they_log_in(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        for path in PAGES:
            response, text = await visitor.get(path)
            assert response.url.path == "/login", path
            assert "900.00" not in text
            assert "12 transactions" not in text
        for token in ("", "guess", _ANA_ENTRY.split(":")[2]):
            response, text = await visitor.log_in(token)
            assert response.status == 403
            assert "That token lets nobody in" in text
        for path in ("/api/alerts", "/api/case?transaction=t1"):
            response, text = await visitor.get(path, Authorization="Bearer guess")
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
        response, _ = await visitor.log_in(ANA, to="/case?transaction=t1")
        assert response.url.path_qs == "/case?transaction=t1"

    desk.visit(scenario)


def test_a_login_leads_nowhere_but_to_our_own_pages(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        for to in ("https://evil.example/", "//evil.example/alerts", "/\\evil.example", "alerts"):
            response, _ = await visitor.post("/login", {"token": ANA, "to": to}, follow=False)
            assert (response.status, response.headers["Location"]) == (303, "/alerts"), to

    desk.visit(scenario)


def test_a_cookie_is_for_this_site_alone_and_out_of_reach_of_scripts(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        response, _ = await visitor.post("/login", {"token": ANA}, follow=False)
        cookie = response.cookies[COOKIE]
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Strict")
        assert ANA not in cookie.value

    desk.visit(scenario)


def test_over_plain_http_from_elsewhere_nobody_logs_in(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        elsewhere = {"Host": "desk.example:8080"} | SAME_SITE
        response, text = await visitor.post("/login", {"token": ANA}, elsewhere)
        assert response.status == 400
        assert "https" in text
        proxied = elsewhere | {"X-Forwarded-Proto": "https"}
        response, _ = await visitor.post("/login", {"token": ANA}, proxied, follow=False)
        assert response.status == 303

    desk.visit(scenario)


def test_wrong_tokens_are_counted_and_an_address_has_to_wait(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        for _ in range(TRIES):
            response, _ = await visitor.log_in("guess")
            assert response.status == 403
        for response, _ in (
            await visitor.log_in(ANA),
            await visitor.get("/api/alerts", Authorization=f"Bearer {ANA}"),
        ):
            assert response.status == 429
            assert response.headers["Retry-After"] == "60"
        desk.clock.advance(MINUTE_MS)
        response, _ = await visitor.log_in(ANA)
        assert response.status == 200

    desk.visit(scenario)


def test_a_session_ends_when_it_is_idle_at_the_days_end_and_on_logging_out(desk: Desk) -> None:
    async def logged_in(visitor: Visitor) -> bool:
        response, _ = await visitor.get("/alerts")
        return response.url.path == "/alerts"

    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(ANA)
        desk.clock.advance(IDLE_MS - 1)
        assert await logged_in(visitor)
        desk.clock.advance(IDLE_MS)
        assert not await logged_in(visitor)
        await visitor.log_in(ANA)
        for _ in range(LASTS_MS // IDLE_MS):
            desk.clock.advance(IDLE_MS - 1)
            assert await logged_in(visitor)
        desk.clock.advance(LASTS_MS % IDLE_MS + LASTS_MS // IDLE_MS)
        assert not await logged_in(visitor)
        await visitor.log_in(ANA)
        cookie = {morsel.key: morsel.value for morsel in visitor.client.session.cookie_jar}
        response, _ = await visitor.post("/logout", {"form": await visitor.form_token()})
        assert response.url.path == "/login"
        # A cookie that somebody kept is worth nothing.
        visitor.client.session.cookie_jar.update_cookies(cookie, visitor.client.make_url("/"))
        assert not await logged_in(visitor)

    desk.visit(scenario)


def test_every_answer_forbids_scripts_frames_and_keeping(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        for path in ("/login", "/nowhere", "/api/alerts", "/health/live", *PAGES):
            response, text = await visitor.get(path)
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'self'; form-action 'self'"), path
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Frame-Options"] == "DENY"
            assert response.headers["Cache-Control"] == "no-store"
            assert "<script" not in text
            assert not re.search(r"\s(style|on\w+)=", text), path
        await visitor.log_in(ANA)
        for path in (*PAGES, "/case?transaction=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"):
            response, text = await visitor.get(path)
            assert response.status == 200
            assert "<script" not in text
            assert not re.search(r"\s(style|on\w+)=", text), path
        response, text = await visitor.get(re.findall(r'href="(/style.css[^"]+)"', text)[0])
        assert (response.status, response.content_type) == (200, "text/css")

    desk.visit(scenario)


def test_a_list_has_the_most_suspect_first_or_the_largest(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(VIC)
        _, text = await visitor.get("/alerts")
        assert re.findall(r'<th scope="row"><a href="([^"]+)"', text) == [
            "/case?transaction=t1",
            "/case?transaction=t2",
        ]
        assert "93.0\xa0%" in text
        assert "2,100.00" in text
        assert "12 transactions in 24 h, usually 2" in text
        for order in ("amount", "nonsense"):
            _, text = await visitor.get(f"/alerts?order={order}")
            first = re.search(r'<th scope="row"><a href="([^"]+)"', text)
            assert first is not None
            assert first[1].endswith("t2" if order == "amount" else "t1")

    desk.visit(scenario)


def test_a_case_tells_why_what_the_customer_did_and_what_is_known(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(VIC)
        _, text = await visitor.get("/case?transaction=t1")
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
        assert "900.00 at terminal m1" in words
        assert "93.0 % probability of fraud; at that moment alerts began at 50.0 %" in words
        assert "12 transactions in 24 h, usually 2 75 % 75 %" in words
        assert "Scored by model logistic-1, snapshot 3. Others, in shadow: forest-1 25.0 %." in words
        assert "c1: 7 other transactions, 1 known fraud among them" in words
        assert "customer's median 43.00" in words.replace("&#39;", "'")
        assert text.count('<circle class="dot') == 8
        assert "to judge takes the role of an analyst" in words
        assert "<textarea" not in text
        response, text = await visitor.get("/case?transaction=nowhere")
        assert response.status == 404
        assert "is in the case store" in text
        response, _ = await visitor.get("/case?transaction=%00")
        assert response.status == 404

    desk.visit(scenario)


def test_a_verdict_is_written_down_published_and_leads_to_the_next_alert(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(ANA)
        response, text = await visitor.judge("t1", "fraud")
        assert response.url.path_qs == "/case?transaction=t1"
        assert "Written down as fraud, by you. The models learn from it." in text
        assert '<a href="/case?transaction=t2">Next open alert</a>' in text
        assert "by ana: called the customer" in text
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))
        assert "fraud, said by ana" in words
        # Said once.
        _, text = await visitor.get("/case?transaction=t1")
        assert "Written down" not in text
        _, text = await visitor.get("/alerts")
        assert "transaction=t1" not in text
        _, text = await visitor.get("/alerts/judged")
        assert "transaction=t1" in text
        _, text = await visitor.judge("t1", "fraud", why="again")
        assert "It was judged fraud already; nothing was changed." in text
        await visitor.judge("h0", "fraud", why="the customer says so")

    desk.visit(scenario)
    assert [(label.transaction_id, label.is_fraud, label.source) for label in desk.broker.labels] == [
        ("t1", True, "analyst"),
        ("h0", True, "analyst"),
    ]
    assert rows(desk.dsn, "SELECT transaction_id, who, why, via FROM verdicts ORDER BY id") == [
        ("t1", "ana", "called the customer", "desk"),
        ("h0", "ana", "the customer says so", "desk"),
    ]


def test_a_verdict_that_kafka_cannot_take_is_not_lost(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(ANA)
        desk.broker.is_away = True
        _, text = await visitor.judge("t1", "legitimate")
        assert "Kafka does not answer" in text
        assert "not a label yet" in text
        desk.broker.is_away = False
        await visitor.judge("t2", "fraud")

    desk.visit(scenario)
    assert [label.transaction_id for label in desk.broker.labels] == ["t1", "t2"]


def test_what_is_no_verdict_of_this_analyst_is_refused(desk: Desk) -> None:
    """By another site, by a form of another session, by a viewer, without a reason, of another kind."""

    async def scenario(visitor: Visitor) -> None:
        path = "/case?transaction=t1"
        await visitor.log_in(VIC)
        foreign = await visitor.form_token()
        response, _ = await visitor.post(path, {"form": foreign, "judged": "fraud", "why": "x"})
        assert response.status == 403
        await visitor.log_in(ANA)
        own = await visitor.form_token()
        good = {"form": own, "judged": "fraud", "why": "x"}
        for fields, headers, status in (
            (good | {"form": foreign}, SAME_SITE, 403),
            (good | {"form": ""}, SAME_SITE, 403),
            (good, {"Sec-Fetch-Site": "cross-site"}, 403),
            (good, {"Sec-Fetch-Site": "same-site"}, 403),
            (good, {"Origin": "https://evil.example"}, 403),
            (good, {"Origin": "null"}, 403),
            (good | {"judged": "perhaps"}, SAME_SITE, 400),
            (good | {"why": " "}, SAME_SITE, 400),
            (good | {"why": "x" * 1_001}, SAME_SITE, 400),
            (good | {"why": "x" * 70_000}, SAME_SITE, 413),
        ):
            response, text = await visitor.post(path, fields, headers)
            assert response.status == status, (fields, headers)
            assert "<h1>" in text
        response, _ = await visitor.post("/case?transaction=nowhere", good)
        assert response.status == 400
        response, _ = await visitor.post("/login", {"token": ANA}, {"Sec-Fetch-Site": "cross-site"})
        assert response.status == 403
        # Where a browser does not say where a form comes from, its token has to do.
        response, _ = await visitor.post(path, good, {})
        assert response.status == 200

    desk.visit(scenario)
    assert rows(desk.dsn, "SELECT count(*) FROM verdicts") == [(1,)]
    assert len(desk.broker.labels) == 1


def test_verdicts_of_one_name_are_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.desk.judging.VERDICTS_A_MINUTE", 3)

    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(ANA)
        for _ in range(3):
            response, _ = await visitor.judge("t1", "fraud")
            assert response.status == 200
        response, _ = await visitor.judge("t1", "legitimate")
        assert response.status == 429

    desk.visit(scenario)
    assert len(desk.broker.labels) == 1


def test_programs_do_the_same_with_a_token_of_their_own(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        ana, vic = {"Authorization": f"Bearer {ANA}"}, {"Authorization": f"Bearer {VIC}"}
        response, text = await visitor.get("/api/alerts?order=amount", **vic)
        assert [alert["transaction_id"] for alert in msgspec.json.decode(text)["alerts"]] == ["t2", "t1"]
        response, text = await visitor.get("/api/case?transaction=t1", **vic)
        told = msgspec.json.decode(text)
        assert told["case"]["reasons"][0]["text"] == "12 transactions in 24 h, usually 2"
        assert len(told["history"]) == 8
        said = {"transaction_id": "t1", "is_fraud": True, "why": "a rule of ours"}
        for headers, body, status in (
            (vic, said, 403),
            (ana, said | {"who": "bob"}, 400),
            (ana, said | {"is_fraud": "yes"}, 400),
            (ana, said | {"transaction_id": "nowhere"}, 400),
            ({}, said, 401),
        ):
            response = await visitor.client.post("/api/verdicts", json=body, headers=headers)
            assert response.status == status
            assert set(await response.json()) == {"error", "detail"}
        for status_word in ("published", "unchanged"):
            response = await visitor.client.post("/api/verdicts", json=said, headers=ana)
            assert await response.json() == {"transaction_id": "t1", "status": status_word}

    desk.visit(scenario)
    assert rows(desk.dsn, "SELECT who, via FROM verdicts") == [("ana", "api")]


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("postgresql://u:hushhush@127.0.0.1:1/x", "Connection refused"),
        (None, "fraudstream cases --init"),
    ],
)
def test_a_desk_without_its_case_store_does_not_start_and_says_why(
    case_store: str, dsn: str | None, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {"FRAUD_CASE_STORE": dsn or case_store, "FRAUD_DESK_PORT": "0"}
    refused = CliRunner(env=environment).invoke(main, ["desk", "--first-look"])
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "hush" not in refused.output + caplog.text


async def until(visitor: Visitor, path: str, status: int) -> tuple[ClientResponse, str]:
    """Ask until the answer is of this status: PostgreSQL's processes outlive the first by some moments."""
    deadline = time.monotonic() + 60
    answer = await visitor.get(path)
    while answer[0].status != status and time.monotonic() < deadline:
        answer = await visitor.get(path)
    assert answer[0].status == status
    return answer


def test_while_the_case_store_is_away_pages_say_so_and_come_back(
    desk: Desk, postgres: PostgresServer
) -> None:
    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in(ANA)
        response, _ = await visitor.get("/health/ready")
        assert response.status == 200
        postgres.kill()
        for path in ("/alerts", "/health/ready"):
            response, text = await until(visitor, path, 503)
            assert "The case store does not answer" in text or "Service Unavailable" in text
        response, _ = await visitor.get("/health/live")
        assert response.status == 200
        postgres.start()
        await until(visitor, "/alerts", 200)

    desk.visit(scenario)


def test_what_is_asked_and_said_is_counted_by_page_and_never_by_name(desk: Desk) -> None:
    async def scenario(visitor: Visitor) -> None:
        await visitor.log_in("guess")
        await visitor.log_in(ANA)
        await visitor.get("/case?transaction=t1")
        await visitor.get("/case?transaction=unheard-of")
        await visitor.get("/t1/elsewhere")
        await visitor.judge("t1", "fraud")
        desk.broker.is_away = True
        await visitor.judge("t2", "legitimate")

    desk.visit(scenario)
    number = desk.metrics.registry.get_sample_value

    def asked(route: str, code: str) -> float | None:
        return number("fraud_desk_requests_total", {"route": route, "code": code})

    assert (number("fraud_desk_logins_total", {"outcome": "refused"}), asked("login", "4xx")) == (1, 1)
    assert (number("fraud_desk_logins_total", {"outcome": "in"}), asked("login", "3xx")) == (1, 1)
    # A verdict leads back to its case.
    assert (asked("case", "2xx"), asked("case", "4xx"), asked("none", "4xx")) == (3, 1, 1)
    assert (asked("judge", "3xx"), number("fraud_desk_request_seconds_count", {"route": "judge"})) == (2, 2)
    assert number("fraud_desk_verdicts_total", {"judged": "fraud", "outcome": "published"}) == 1
    assert number("fraud_desk_verdicts_total", {"judged": "legitimate", "outcome": "waits"}) == 1
    assert number("fraud_case_store_up") == 1
    text = generate_latest(desk.metrics.registry).decode()
    assert not {"t1", "t2", "ana", "guess"} & set(re.findall(r"[\w-]+", text))


def test_a_desk_tells_that_its_case_store_is_away_though_nobody_asks_for_a_page(
    desk: Desk, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.desk.meter._BEAT_SECONDS", 0.05)

    async def shows(name: str, value: float) -> None:
        number = partial(desk.metrics.registry.get_sample_value, name)
        await asyncio.to_thread(eventually, lambda: number() == value, 60, lambda: f"{name}: {number()}")

    async def scenario(visitor: Visitor) -> None:
        await shows("fraud_case_store_up", 1)
        await visitor.log_in(ANA)
        desk.broker.is_away = True
        await visitor.judge("t1", "fraud")
        await shows("fraud_verdict_outbox_verdicts", 1)
        postgres.kill()
        await shows("fraud_case_store_up", 0)
        postgres.start()
        await shows("fraud_case_store_up", 1)

    desk.visit(scenario)
