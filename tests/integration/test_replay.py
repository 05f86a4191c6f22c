"""Replays by the command, held to the watermarks that a stand-in for the pipeline keeps in Redis."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames
from stream.decoding import decode_labels, decode_transactions
from stream.pipeline.deliveries import due_ms
from stream.records import Label, Record, Transaction
from stream.settings import Settings
from tests.services.topic_reader import read_topic

Deploy = Callable[..., Settings]
HOUR = 3_600_000
START = 1_700_000_000_000
LATER = 2_000_000_000_000


class StandIn:
    """Reads transactions and labels and moves their watermarks, as scorers and the learner do."""

    def __init__(self, settings: Settings) -> None:
        self.story: list[Transaction | Label] = []
        self.store = RedisStore(
            settings.redis,
            namespace=settings.namespace,
            pending_ttl=timedelta(days=1),
            state_ttl=timedelta(days=1),
        )
        self._settings = settings
        self._names = TopicNames.of(settings)
        self._ended = threading.Event()

    def run(self) -> None:
        tenures = {p: self.store.take_partition(p) for p in range(self._settings.partitions)}
        token, _ = self.store.take_learner()
        consumer = Consumer(
            {"bootstrap.servers": self._settings.broker, "group.id": "stand-in", "fetch.wait.max.ms": 10}
        )
        places = [TopicPartition(self._names.transactions, p, 0) for p in tenures]
        consumer.assign([*places, TopicPartition(self._names.labels, 0, 0)])
        while not self._ended.is_set():
            for message in consumer.consume(200, 0.02):
                assert message.error() is None
                record = Record(
                    message.topic(), message.partition(), message.offset(), 0, message.key(), message.value()
                )
                if record.topic == self._names.labels:
                    self.story += decode_labels([record], LATER).records
                    self.store.commit_labels(token, record.offset, {}, {})
                else:
                    self.story += decode_transactions([record], LATER).records
                    tenure = tenures[record.partition]
                    tenures[record.partition] = self.store.commit(tenure, record.offset, {}, {})
        consumer.close()

    def end(self) -> None:
        self._ended.set()


@contextmanager
def pipeline(settings: Settings) -> Iterator[StandIn]:
    stand_in = StandIn(settings)
    thread = threading.Thread(target=stand_in.run, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.end()
        thread.join(10)
    assert not thread.is_alive()


def arguments(settings: Settings) -> list[str]:
    return [
        f"--broker={settings.broker}",
        f"--redis={settings.redis}",
        f"--topic-prefix={settings.topic_prefix}",
        f"--namespace={settings.namespace}",
    ]


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("fraudstream"), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")},
    )


def finish(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recorded.parquet"
    rows = 1_200
    table = {
        "transaction_id": list(range(rows)),
        "event_time": pa.array([START + row * 6 * 60_000 for row in range(rows)], pa.timestamp("ms", "UTC")),
        "customer_id": [row % 50 for row in range(rows)],
        "terminal_id": [row % 20 for row in range(rows)],
        "amount": [float(row) for row in range(rows)],
        "is_fraud": [row % 100 == 0 for row in range(rows)],
    }
    pq.write_table(pa.table(table), path)
    return path


def test_a_held_replay_is_processed_in_the_order_of_real_time(
    deploy: Deploy, file: Path, tmp_path: Path
) -> None:
    settings = deploy(partitions=2)
    written = tmp_path / "summary.json"
    with pipeline(settings) as stand_in:
        code, out, err = finish(
            start(
                *("replay", str(file), "--limit=1000", "--label-delay=24h", f"--summary={written}"),
                *arguments(settings),
            )
        )
        assert code == 0, err
        # Being held, it ends when all of it is processed.
        story = list(stand_in.story)
    labels = [happening for happening in story if isinstance(happening, Label)]
    end = START + 999 * 6 * 60_000
    due = sum(due_ms(START + row * 6 * 60_000, 24 * HOUR, HOUR) <= end for row in range(1000))
    assert len(labels) == due
    assert len(story) == 1000 + due
    summary = json.loads(written.read_text())
    assert (summary["published"], summary["labels_published"], summary["finished"]) == (1000, due, True)
    assert f"published 1000 transactions and {due} labels" in out
    now = known = 0
    for happening in story:
        if isinstance(happening, Label):
            assert happening.label_time > now  # everything before the delivery is scored
            known = happening.label_time
        else:
            now = max(now, happening.event_time)
            # The latest delivery before it is learnt, or there was none yet.
            assert known <= happening.event_time < max(known, labels[0].label_time - HOUR) + HOUR
    scored = [happening for happening in story if isinstance(happening, Transaction)]
    assert sorted(int(transaction.transaction_id) for transaction in scored) == list(range(1000))


def test_a_replay_without_a_pipeline_says_what_waits_for_what(
    embedded_broker: str, redis_url: str, file: Path
) -> None:
    settings = Settings(broker=embedded_broker, redis=redis_url)
    code, out, err = finish(
        start("replay", str(file), "--label-delay=1h", "--stall-seconds=1", *arguments(settings))
    )
    assert code == 2
    assert "nothing moved for 1 s: partition" in err
    assert "is a scorer running on this broker and Redis" in err
    assert "Traceback" not in err
    assert "published " in out


def test_without_a_hold_neither_pipeline_nor_redis_is_needed(embedded_broker: str, file: Path) -> None:
    settings = Settings(broker=embedded_broker, redis="redis://127.0.0.1:1/0")
    code, _, err = finish(start("replay", str(file), "--no-hold", *arguments(settings)))
    assert code == 0, err
    assert len(read_topic(embedded_broker, "transactions", until=1_200)) == 1_200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_replay_in_good_order(
    embedded_broker: str, file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    settings = Settings(broker=embedded_broker)
    written = tmp_path / "summary.json"
    # The first transaction at once, the next one after an hour and a half.
    process = start(
        "replay", str(file), "--no-hold", "--speed=0.066", f"--summary={written}", *arguments(settings)
    )
    records = read_topic(embedded_broker, "transactions", until=1)
    assert len(records) == 1
    process.send_signal(number)
    code, out, err = finish(process)
    assert code == 0, err
    assert "published 1 transactions and 0 labels" in out
    assert "stopped early" in out
    assert json.loads(written.read_text())["stopped"] is True


def test_a_simulation_is_published_with_its_bad_records(deploy: Deploy, tmp_path: Path) -> None:
    settings = deploy()
    written = tmp_path / "summary.json"
    with pipeline(settings) as stand_in:
        code, _, err = finish(
            start(
                *("simulate", "--transactions=2000", "--customers=100", "--terminals=100"),
                *("--bad-records=0.05", "--label-delay=2d", "--label-cadence=1d", f"--summary={written}"),
                *arguments(settings),
            )
        )
        assert code == 0, err
        read = len(stand_in.story)
    summary = json.loads(written.read_text())
    assert summary["published"] == 2000
    assert 50 < summary["bad_records"] < 160
    assert read == 2000 - summary["bad_records"] + summary["labels_published"]
    assert summary["labels_published"] > 1000
