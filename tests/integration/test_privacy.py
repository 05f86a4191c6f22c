"""Nothing that is written by a whole run holds a card number or a secret, wherever these were put in."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import psycopg
import pyarrow.parquet as pq
import pytest
import redis
from click.testing import CliRunner
from psycopg import sql

from consumers.desk.users import new_user
from stream.cli import main
from stream.ports import Outgoing
from stream.records import Label, Transaction, encode
from stream.settings import Party, Role, Settings
from stream.tokens import Tokens
from tests.services.alert_receiver import Receiver
from tests.services.command import fraudstream
from tests.services.pipeline import Pipeline
from tests.services.postgres_server import PostgresServer, rows
from tests.services.process import Process, free_port
from tests.services.secured_site import PASSWORDS, REDIS_PASSWORD, Site
from tests.services.traffic import START_MS, label, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker, environment_of

pytestmark = [pytest.mark.service("kafka"), pytest.mark.service("redis")]

Start = Callable[..., Worker]

CARDS = ("4929123456789012", "5425233430109903", "378282246310005", "6011000990139424", "4000056655665556")
"""Numbers published for tests, but for the first, which is none."""
WRONG, CARD, AMEX, TERMINAL, NOTE = CARDS
HIDDEN_CARDS = (CARD, AMEX, TERMINAL, NOTE)
TOKEN_KEY = "token-key-of-this-very-test"
SIGNING_KEY = "signing-key-of-this-very-test"
NEXT_SIGNING_KEY = "next-signing-key-of-this-test"
WEBHOOK_TOKEN = "webhook-token-of-this-test"
POSTGRES_PASSWORD = "postgres-lets-nobody-else-in"
DESK_TOKEN, DESK_ENTRY = new_user("ana", "analyst")
SECRETS = (
    *(TOKEN_KEY, SIGNING_KEY, NEXT_SIGNING_KEY, WEBHOOK_TOKEN, DESK_TOKEN, POSTGRES_PASSWORD, REDIS_PASSWORD),
    *PASSWORDS.values(),
)


def transaction(name: str, customer: str, **fields: Any) -> Outgoing:
    value = {
        "transaction_id": name,
        "event_time": START_MS,
        "customer_id": customer,
        "terminal_id": "m1",
        "amount": 12.5,
        **fields,
    }
    return Outgoing("transactions", customer.encode(), json.dumps(value).encode())


def planted() -> list[Outgoing]:
    """Return card numbers wherever an upstream may put them, by mistake or not."""
    spaced = " ".join(CARD[n : n + 4] for n in range(0, 16, 4))
    whole = transaction("cut", CARD).value
    return [
        transaction("p1", CARD),
        transaction("p2", spaced),
        transaction(f"{CARD}-3", f"card:{AMEX}", terminal_id=TERMINAL, note=NOTE),
        transaction("p4", "c4", channel=CARD, merchant_category=AMEX),
        # Refused, for one reason or the other.
        transaction("p5", CARD, amount=-1),
        transaction("p6", "c6", customer_id=int(CARD)),
        transaction("p7", "c7", event_time=int(CARD)),
        transaction("p8", CARD, note="x" * 20_000 + NOTE),
        transaction("p9", AMEX, currency=CARD),
        Outgoing("transactions", CARD.encode(), whole[:-8]),
        Outgoing("transactions", CARD.encode(), f"PAN={CARD};EXP=2512".encode()),
        Outgoing("transactions", b"c", f"PAN {CARD}".encode("utf-16")),
        Outgoing("transactions", TERMINAL.encode(), whole),
        Outgoing("transactions", b"c", b""),
        # Labels: of what was scored, of what never was, and of no kind.
        _label(f"{CARD}-3", note=NOTE),
        _label("p1"),
        _label(f"{AMEX}-missing"),
        _label("parked", note=NOTE),
        _label("p2", source=f"the owner of {CARD}"),
        Outgoing("labels", CARD.encode(), f'{{"transaction_id":"{CARD}"'.encode()),
    ]


def _label(name: str, **fields: Any) -> Outgoing:
    value = {"transaction_id": name, "is_fraud": True, "source": "analyst", "label_time": START_MS, **fields}
    return Outgoing("labels", name.encode(), json.dumps(value).encode())


@pytest.fixture
def database(site: Site) -> Iterator[str]:
    """Return the DSN of a case store that wants encryption and a password."""
    server = PostgresServer(authority=site.authority, password=POSTGRES_PASSWORD)
    yield server.new_database()
    server.discard()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


def settings_of(site: Site, database: str, party: Party, **more: Any) -> Settings:
    """Return settings that are quick to fit and to alert, log all they can and have all secrets."""
    return site.settings(
        party,
        role=party if party in get_args(Role) else "all",
        signing_key=SIGNING_KEY,
        signing_keys_accepted=NEXT_SIGNING_KEY,
        token_key=TOKEN_KEY,
        case_store=database,
        webhook_token=WEBHOOK_TOKEN,
        log_level="debug",
        challengers=("tree",),
        checkpoint_seconds=0.5,
        label_grace_seconds=3600,
        alert_threshold=1e-6,
        models_wait_seconds=60,
        snapshot_labels=10,
        snapshot_gap_seconds=0,
        decision="threshold",
        batch_min_frauds=5,
        batch_negative_rate=1.0,
        batch_every_days=0.01,
        **more,
    )


def publish(producer: Pipeline, pipeline: Pipeline, known: list[Transaction]) -> set[bytes]:
    """Publish what is known and what is planted, until it is scored and learnt; return what was planted."""
    names = pipeline.topics
    there = {"transactions": names.transactions, "labels": names.labels}
    given = [one._replace(topic=there[one.topic]) for one in planted()]
    transacted = [one for one in given if one.topic == names.transactions]
    labelled = [one for one in given if one.topic == names.labels]
    producer.publish(known)
    producer.publish_raw(transacted)
    pipeline.await_scored(len(known) + len(transacted))
    producer.publish([label(one) for one in known])
    producer.publish_raw(labelled)
    pipeline.await_learnt(len(known) + len(labelled))
    # By what was learnt, this is an alert.
    alarming = transaction("p10", CARD, amount=900)._replace(topic=names.transactions)
    producer.publish_raw([alarming])
    pipeline.await_scored(len(known) + len(transacted) + 1)
    return {one.value for one in (*given, alarming)}


def run_commands(
    settings: Callable[[Party], Settings], folder: Path, webhook: str, about: str
) -> list[bytes]:
    """Run every command that reads what the pipeline wrote, or steers it; return what each said."""
    given: list[tuple[Party, tuple[str, ...]]] = [
        ("archive", ("archive", str(folder), "--until-idle", "1")),
        ("alerts", ("alerts", "--until-idle", "1", "--webhook", webhook)),
        ("redrive", ("redrive", "--dry-run")),
        ("redrive", ("redrive", "--list")),
        ("settle", ("settle", "--after", "1d", "--until-idle")),
        ("score", ("features", "show", "customer", CARD)),
        ("score", ("settings",)),
        ("score", ("doctor",)),
        ("desk", ("verdict", f"{CARD}-3", "legitimate", "--who", f"ana {CARD}", "--why", about)),
        ("models", ("models", "promote", "tree-1", "--who", f"ana {CARD}", "--why", about)),
    ]
    said = []
    for party, command in given:
        ended = CliRunner().invoke(main, command, env=environment_of(settings(party)))
        # A model of 60 labels may not be promoted: that, and who wanted it, is on model-events as well.
        assert ended.exit_code == (2 if command[0] == "models" else 0), ended.output
        said.append(str(ended.output).encode())
    return said


@pytest.mark.timeout(600)  # seven processes start, and a dozen commands
@pytest.mark.service("postgres")
def test_nothing_that_a_run_writes_has_a_card_number_or_a_secret(
    site: Site,
    worker: Start,
    command: Callable[..., Process],
    database: str,
    receiver: Receiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = transactions(60)
    settings = partial(settings_of, site, database)
    with Pipeline(settings("producer")) as producer, Pipeline(site.open()) as pipeline:
        names = pipeline.topics
        workers = {role: worker(settings(role), role) for role in ("score", "learn", "fit")}
        desk_settings = settings(
            "desk", desk_users=DESK_ENTRY, desk_port=free_port(), desk_metrics_port=free_port()
        )
        filler_settings = settings("cases", cases_metrics_port=free_port())
        programs = [command(filler_settings, "cases")]
        sent = publish(producer, pipeline, known)
        learner = workers["learn"]
        stored = learner.metric("fraud_checkpoint_timestamp_seconds")
        # One label more, for there is no checkpoint without: it holds all those before.
        producer.publish([label(known[0])])
        eventually(lambda: learner.metric("fraud_checkpoint_timestamp_seconds") > stored)
        eventually(lambda: workers["fit"].metric("fraud_fits_total") >= 1, describe=workers["fit"].tail)
        eventually(lambda: _cases(database) == len(known) + 5, describe=programs[0].tail)
        # It wants the tables, which the filler has made.
        programs.append(command(desk_settings, "desk"))
        desk = f"http://127.0.0.1:{desk_settings.desk_port}"
        programs[-1].await_ready(lambda: "desk: http" in programs[-1].tail())

        folder = tmp_path / "archive"
        about = f"the owner of {AMEX} says so"
        said = run_commands(settings, folder, receiver.url, about)
        judged = {"transaction_id": "p1", "is_fraud": False, "why": about}
        assert _asked(desk, "/api/verdicts", DESK_TOKEN, judged) == 200
        # What a desk answers to a card number is for the one who sent it; its log is for others, too.
        assert _asked(desk, "/api/verdicts", DESK_TOKEN, judged | {"transaction_id": CARD}) == 400
        assert _asked(desk, f"/api/case?transaction={CARD}", DESK_TOKEN) == 404
        assert _asked(desk, "/api/alerts", TOKEN_KEY) == 401
        pages = [
            urllib.request.urlopen(url + path, timeout=5).read()  # noqa: S310 - http
            for url, paths in (
                *((one.url, ("/metrics", "/health/ready", "/health/live")) for one in workers.values()),
                (desk, ("/login", "/health/ready")),
                (f"http://127.0.0.1:{desk_settings.desk_metrics_port}", ("/metrics",)),
                (f"http://127.0.0.1:{filler_settings.cases_metrics_port}", ("/metrics",)),
            )
            for path in paths
        ]
        letters = pipeline.dead_letters(1)
        processes = [*workers.values(), *programs]
        written = {
            "command lines": [Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in processes],
            "logs": [one.log.read_bytes() for one in processes],
            "logs of services": [site.kafka.process.log.read_bytes(), site.redis.process.log.read_bytes()],
            "files": [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()],
            "commands": [*said, caplog.text.encode()],
            "pages": pages,
            "webhook": [json.dumps(body).encode() for _, _, body in receiver.posts],
            "topics": list(_topics(pipeline)),
            "what we published as well": [
                one.value or b""
                for topic in (names.transactions, names.labels)
                for one in pipeline.read(topic)
                if one.value not in sent
            ],
            "redis": list(_redis(pipeline.settings)),
            "archive": list(_archive(folder)),
            "cases": list(_tables(database)),
        }

        for where, pieces in written.items():
            assert pieces, f"nothing was looked at in {where}"
            for piece in pieces:
                assert not _told(piece), f"{_told(piece)} in {where}: {piece[:300]!r}"
        # What was looked at is what there was to see, and nothing else was taken away.
        customer = Tokens("cards", TOKEN_KEY.encode()).identifier(CARD)
        scores = pipeline.scores(known)
        assert {"p1", "p2", f"{customer}-3", "p4"} <= scores.keys()
        assert (
            json.loads(scores["p1"][0])["customer_id"]
            == json.loads(scores["p2"][0])["customer_id"]
            == customer
        )
        assert customer in pipeline.customers()
        assert {f"{customer}-3", "p1"} <= pipeline.verdicts().keys()
        assert workers["score"].metric("fraud_tokenised_transactions_total") == 4
        assert {one.withheld for one in letters} == {"tokens", "nothing"}
        assert "card_number" not in {one.reason.value for one in letters}
        everything = b"".join(piece for pieces in written.values() for piece in pieces)
        for text in ("fraud_transactions_total", "records filed", "transactions seen", customer, about[:12]):
            assert text.encode() in everything, text
        masked = f"the owner of {'*' * len(AMEX)} says so"
        assert rows(database, "SELECT transaction_id, who, why FROM verdicts ORDER BY id") == [
            (f"{customer}-3", f"ana {'*' * len(CARD)}", masked),
            ("p1", "ana", masked),
        ]


def test_what_is_looked_for_would_be_found() -> None:
    for hidden in (*HIDDEN_CARDS, *SECRETS):
        for piece in (f"before {hidden} after".encode(), f"x\0{hidden}".encode()):
            assert _told(piece) == [hidden]
    assert _told(f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]}-{CARD[12:]}".encode()) == [CARD]
    assert _told(CARD.encode("utf-16")) == [CARD]
    assert _told(f"nothing of {WRONG}".encode()) == []


def test_producers_with_a_key_publish_tokens(embedded_broker: str, redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "recorded.csv"
    file.write_text(
        "transaction_id,event_time,customer_id,terminal_id,amount,is_fraud\n"
        f"{CARD}-1,{START_MS},{CARD},{TERMINAL},10.5,1\nt2,{START_MS + 1},{AMEX},m2,11.5,0\n"
    )
    settings = Settings(broker=embedded_broker, redis=redis_url, token_key=TOKEN_KEY)  # type: ignore[arg-type]
    with Pipeline(settings) as pipeline:
        arguments = ("replay", str(file), "--no-hold", "--label-delay", "1s", "--labels-after-end")
        ended = fraudstream(*arguments, settings=pipeline.settings)
        assert ended.code == 0, ended.err
        records = pipeline.read(pipeline.topics.transactions, 2) + pipeline.read(pipeline.topics.labels, 2)
    tokens = Tokens("cards", TOKEN_KEY.encode())
    assert {record.key for record in records[:2]} == {tokens.identifier(one).encode() for one in (CARD, AMEX)}
    for record in records:
        whole = (record.key or b"") + (record.value or b"")
        assert not any(card.encode() in whole for card in (CARD, AMEX, TERMINAL))


def _asked(desk: str, path: str, token: str, said: dict[str, Any] | None = None) -> int:
    """Ask the desk as a program does, and return the status of its answer."""
    body = None if said is None else json.dumps(said).encode()
    request = urllib.request.Request(desk + path, body, {"Authorization": f"Bearer {token}"})  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - http
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _cases(database: str) -> int:
    try:
        return int(rows(database, "SELECT count(*) FROM transactions")[0][0])
    except psycopg.errors.UndefinedTable:
        return 0


def _tables(database: str) -> Iterator[bytes]:
    """Yield every row of every table."""
    names = rows(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    with psycopg.connect(database) as connection:
        for (name,) in names:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
            for (row,) in connection.execute(query):
                yield str(row).encode()


def _told(piece: bytes) -> list[str]:
    """Return what a piece tells of what it must not."""
    bare = _bare(piece)
    return [one for one in HIDDEN_CARDS if one.encode() in bare] + [
        one for one in SECRETS if one.encode() in piece
    ]


def _bare(piece: bytes) -> bytes:
    """Take away what may part digits: a number may be hidden by no more than that."""
    return piece.translate(None, b" -\x00")


def _topics(pipeline: Pipeline) -> Iterator[bytes]:
    names = pipeline.topics
    for topic in (names.scores, names.alerts, names.dead_letters, names.model_events):
        for record in pipeline.read(topic):
            yield (record.key or b"") + b"|" + (record.value or b"")
            value = json.loads(record.value or b"{}")
            if topic == names.dead_letters:
                for part in ("key", "value"):
                    yield base64.b64decode(value[part] or "")


def _redis(settings: Settings) -> Iterator[bytes]:
    with redis.Redis.from_url(settings.redis) as client:
        for key in client.scan_iter(count=10_000):
            yield key
            match client.type(key):
                case b"string":
                    yield client.get(key) or b""  # type: ignore[misc]  # redis-py's answers are untyped here
                case b"hash":
                    fields: Any = client.hgetall(key)
                    for name, value in fields.items():
                        yield name + b"|" + value
                case b"set":
                    members: Any = client.smembers(key)
                    yield from members
                case other:
                    raise AssertionError(f"{key!r} is a {other!r}: look into it, too")


def _archive(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*.parquet"):
        yield path.name.encode()
        yield str(pq.read_table(path).to_pylist()).encode()


def test_the_planted_numbers_are_what_they_are_meant_to_be() -> None:
    tokens = Tokens("cards", TOKEN_KEY.encode())
    assert tokens.identifier(WRONG) == WRONG
    assert all(tokens.identifier(card) != card for card in (CARD, AMEX, TERMINAL, NOTE))
    one = Transaction(transaction_id="t", event_time=START_MS, customer_id=CARD, terminal_id="m", amount=1.0)
    assert CARD.encode() in encode(one)
    assert isinstance(label(one), Label)
