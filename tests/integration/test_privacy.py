"""Nothing that is written by a whole run holds a card number or a secret, wherever these were put in."""

import base64
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis
from click.testing import CliRunner

from stream.cli import main
from stream.ports import Outgoing
from stream.records import Label, Transaction, encode
from stream.settings import Settings
from stream.tokens import Tokens
from tests.services.command import fraudstream
from tests.services.pipeline import Pipeline
from tests.services.traffic import START_MS, label, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker, environment_of

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]

CARDS = ("4929123456789012", "5425233430109903", "378282246310005", "6011000990139424", "4000056655665556")
"""Numbers published for tests, but for the first, which is none."""
WRONG, CARD, AMEX, TERMINAL, NOTE = CARDS
TOKEN_KEY = "token-key-of-this-very-test"
SIGNING_KEY = "signing-key-of-this-very-test"


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


@pytest.mark.service("redis")
def test_nothing_that_a_run_writes_has_a_card_number_or_a_secret(
    topics: Deploy, worker: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = transactions(60)
    settings = topics(
        partitions=2,
        signing_key=SIGNING_KEY,
        token_key=TOKEN_KEY,
        log_level="debug",
        checkpoint_seconds=0.5,
        label_grace_seconds=3600,
        alert_threshold=0.01,
        decision="threshold",
    )
    with Pipeline(settings) as pipeline:
        names = pipeline.topics
        process = worker(settings, "all")
        there = {"transactions": names.transactions, "labels": names.labels}
        given = [one._replace(topic=there[one.topic]) for one in planted()]
        transacted = [one for one in given if one.topic == names.transactions]
        labelled = [one for one in given if one.topic == names.labels]
        pipeline.publish(known)
        pipeline.publish_raw(transacted)
        pipeline.await_scored(len(known) + len(transacted))
        pipeline.publish([label(one) for one in known])
        pipeline.publish_raw(labelled)
        pipeline.await_learnt(len(known) + len(labelled))
        stored = process.metric("fraud_checkpoint_timestamp_seconds")
        eventually(lambda: process.metric("fraud_checkpoint_timestamp_seconds") > stored)

        folder = tmp_path / "archive"
        said = [
            _said(settings, *command)
            for command in (
                ("archive", str(folder), "--until-idle", "1"),
                ("alerts", "--until-idle", "1"),
                ("redrive", "--dry-run"),
                ("redrive", "--list"),
                ("settle", "--after", "1d", "--until-idle"),
                ("features", "show", "customer", CARD),
                ("settings",),
            )
        ]
        pages = [
            urllib.request.urlopen(process.url + path, timeout=5).read()  # noqa: S310 - http
            for path in ("/metrics", "/health/ready", "/health/live")
        ]
        letters = pipeline.dead_letters(1)
        written = {
            "logs": [process.log.read_bytes()],
            "commands": [*said, caplog.text.encode()],
            "pages": pages,
            "topics": list(_topics(pipeline)),
            "redis": list(_redis(settings)),
            "archive": list(_archive(folder)),
        }

        for where, pieces in written.items():
            assert pieces, f"nothing was looked at in {where}"
            for piece in pieces:
                for hidden in (CARD, AMEX, TERMINAL, NOTE, TOKEN_KEY, SIGNING_KEY):
                    assert hidden.encode() not in _bare(piece), f"{hidden} in {where}: {piece[:300]!r}"
        # What was looked at is what there was to see, and nothing else was taken away.
        tokens = Tokens("cards", TOKEN_KEY.encode())
        customer = tokens.identifier(CARD)
        scores = pipeline.scores(known)
        assert {"p1", "p2", f"{customer}-3", "p4"} <= scores.keys()
        assert (
            json.loads(scores["p1"][0])["customer_id"]
            == json.loads(scores["p2"][0])["customer_id"]
            == customer
        )
        assert customer in pipeline.customers()
        assert {f"{customer}-3", "p1"} <= pipeline.verdicts().keys()
        assert process.metric("fraud_tokenised_transactions_total") == 3
        assert {one.withheld for one in letters} == {"tokens", "nothing"}
        assert "card_number" not in {one.reason.value for one in letters}
        for text in ("fraud_transactions_total", "records filed", "transactions seen", customer):
            assert any(text.encode() in piece for pieces in written.values() for piece in pieces), text


def test_producers_with_a_key_publish_tokens(topics: Deploy, tmp_path: Path) -> None:
    file = tmp_path / "recorded.csv"
    file.write_text(
        "transaction_id,event_time,customer_id,terminal_id,amount,is_fraud\n"
        f"{CARD}-1,{START_MS},{CARD},{TERMINAL},10.5,1\nt2,{START_MS + 1},{AMEX},m2,11.5,0\n"
    )
    with Pipeline(topics(partitions=1, token_key=TOKEN_KEY)) as pipeline:
        arguments = ("replay", str(file), "--no-hold", "--label-delay", "1s", "--labels-after-end")
        ended = fraudstream(*arguments, settings=pipeline.settings)
        assert ended.code == 0, ended.err
        records = pipeline.read(pipeline.topics.transactions, 2) + pipeline.read(pipeline.topics.labels, 2)
    tokens = Tokens("cards", TOKEN_KEY.encode())
    assert [record.key for record in records[:2]] == [tokens.identifier(one).encode() for one in (CARD, AMEX)]
    for record in records:
        whole = (record.key or b"") + (record.value or b"")
        assert not any(card.encode() in whole for card in (CARD, AMEX, TERMINAL))


def _said(settings: Settings, *command: str) -> bytes:
    ended = CliRunner().invoke(main, command, env=environment_of(settings))
    assert ended.exit_code == 0, ended.output
    return str(ended.output).encode()


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
