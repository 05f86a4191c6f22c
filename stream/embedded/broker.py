"""The embedded broker: librdkafka's mock cluster, from the library that confluent-kafka brings along.

What it is, as found with librdkafka 2.16, aiokafka 0.14 and confluent-kafka 2.16:

- It speaks enough Kafka for producers (idempotent ones too), consumers, consumer groups with rebalances and
  committed offsets, of both clients. A topic that a client asks for and that is not there is created with 4
  partitions.
- It keeps 5 MiB or 100,000 batches of each partition, whichever is less, as the producer sent them, and
  silently drops the oldest: 34,000 transactions of 140 bytes, or four times as many in lz4 (aiokafka reads
  gzip by itself, lz4 and zstd only with cramjam installed). A consumer whose position fell off gets
  `OFFSET_OUT_OF_RANGE`: aiokafka raises it with `auto_offset_reset="none"`, and skips ahead without a word
  with `"earliest"` or `"latest"`. So a replay must be held to the pipeline's progress.
- A fetch brings one producer's batch for each partition. A fetch that found nothing is answered after its
  whole `fetch_max_wait_ms`, even when a record comes meanwhile: with long waits, the first record after a
  pause is late.
- A group's first member waits for `rebalance_delay_ms`; every later rebalance, even after the last member
  has left, takes the session timeout less a second, and twice or thrice that after a member was killed.
- A group holds one member. With two, the follower's SyncGroup is refused (`INVALID_REQUEST`) whenever the
  leader's came first; aiokafka gives up on that, most times of those tried. Use a real broker for two.
- There is no admin API (topics are created here, at the start), no lookup of offsets by time, no retention
  by time, no disk and no replication.
- It is not for production, and not for measuring brokers.

References
----------
librdkafka's `rdkafka_mock.h`, an experimental interface: the contract test in tests/ would notice a change.
"""

import ctypes
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Self

import confluent_kafka.cimpl

from stream.embedded.leash import Leashed
from stream.errors import InfrastructureError

_PRODUCER = 0
_QUIET = b"3"  # syslog's level: errors and worse
_ALL_BROKERS = -1


class Request(IntEnum):
    """Requests that can be made to fail, by their number in Kafka's protocol."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22


class EmbeddedBroker:
    """A broker of one node in a process of its own, with our topics on it; gone with the context.

    Parameters
    ----------
    partitions
        Of transactions, scores and alerts.
    topic_prefix
        Put before every topic's name.
    rebalance_delay_ms
        How long the first member of a group waits for others, in milliseconds. Kafka's default is 3,000.

    Raises
    ------
    InfrastructureError
        It could not be started.

    Notes
    -----
    Takes about 0.4 s to start and 40 MB, plus what the topics hold.
    """

    def __init__(self, partitions: int = 4, topic_prefix: str = "", rebalance_delay_ms: int = 50) -> None:
        self._process = Leashed(
            "broker",
            f"--partitions={partitions}",
            f"--topic-prefix={topic_prefix}",
            f"--rebalance-delay-ms={rebalance_delay_ms}",
        )
        self.bootstrap: str = self._process.announcement["broker"]

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._process.pid

    def fail(self, request: Request, *errors: int) -> None:
        """Answer the coming requests of a kind with errors, one each, then as usual.

        Parameters
        ----------
        request
            Which kind.
        *errors
            Kafka's error codes, such as `confluent_kafka.KafkaError.REQUEST_TIMED_OUT`; `_TRANSPORT` hangs
            up.
        """
        self._process.ask(do="fail", request=int(request), errors=list(errors))

    def go_down(self) -> None:
        """Hang up on everybody and refuse connections, keeping the records, until :meth:`come_up`."""
        self._process.ask(do="down")

    def come_up(self) -> None:
        """Accept connections again."""
        self._process.ask(do="up")

    def delay(self, milliseconds: int) -> None:
        """Hold every answer back for so long; 0 ends it."""
        self._process.ask(do="delay", milliseconds=milliseconds)

    def close(self) -> None:
        """Stop the broker. May be repeated."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MockCluster:
    """librdkafka's mock cluster inside this process: what the broker's own process runs.

    Parameters
    ----------
    topics
        Partitions by topic name.
    rebalance_delay_ms
        As for :class:`EmbeddedBroker`.
    """

    def __init__(self, topics: Mapping[str, int], rebalance_delay_ms: int) -> None:
        self._library = _load()
        configuration = self._library.rd_kafka_conf_new()
        text = ctypes.create_string_buffer(512)
        self._library.rd_kafka_conf_set(configuration, b"log_level", _QUIET, text, len(text))
        self._client = self._library.rd_kafka_new(_PRODUCER, configuration, text, len(text))
        if not self._client:
            raise InfrastructureError(f"librdkafka refuses to start: {text.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            raise InfrastructureError("librdkafka could not open a mock cluster on 127.0.0.1")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, rebalance_delay_ms)
        for name, partitions in topics.items():
            self._check(
                self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1),
                f"topic {name}",
            )

    @property
    def bootstrap(self) -> str:
        """Where it listens: HOST:PORT."""
        address: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return address.decode()

    def carry_out(self, request: Mapping[str, Any]) -> None:
        """Carry out what :class:`EmbeddedBroker` asked for.

        Raises
        ------
        ValueError, KeyError
            The request is not one of those.
        """
        library, cluster = self._library, self._cluster
        match request["do"]:
            case "fail":
                errors = (ctypes.c_int * len(request["errors"]))(*request["errors"])
                library.rd_kafka_mock_push_request_errors_array(
                    cluster, request["request"], len(errors), errors
                )
            case "down":
                self._check(library.rd_kafka_mock_broker_set_down(cluster, _ALL_BROKERS), "going down")
            case "up":
                self._check(library.rd_kafka_mock_broker_set_up(cluster, _ALL_BROKERS), "coming up")
            case "delay":
                code = library.rd_kafka_mock_broker_set_rtt(cluster, _ALL_BROKERS, request["milliseconds"])
                self._check(code, "delay")
            case unknown:
                raise ValueError(f"the broker cannot {unknown!r}")

    def close(self) -> None:
        """Stop listening and forget everything."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, code: int, what: str) -> None:
        if code:
            reason = self._library.rd_kafka_err2str(code).decode()
            raise InfrastructureError(f"the mock cluster refuses {what}: {reason}")


def _load() -> ctypes.CDLL:
    """Open librdkafka through the extension module that is linked with it.

    A symbol is looked up in the module's dependencies as well, so this finds the wheel's bundled library,
    whose file name carries a hash, and a system's librdkafka alike; and it is the one already in memory.
    """
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    handle, string, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (handle, []),
        "rd_kafka_conf_set": (integer, [handle, string, string, string, ctypes.c_size_t]),
        "rd_kafka_new": (handle, [integer, handle, string, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [handle]),
        "rd_kafka_err2str": (string, [integer]),
        "rd_kafka_mock_cluster_new": (handle, [handle, integer]),
        "rd_kafka_mock_cluster_destroy": (None, [handle]),
        "rd_kafka_mock_cluster_bootstraps": (string, [handle]),
        "rd_kafka_mock_topic_create": (integer, [handle, string, integer, integer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [handle, ctypes.c_int32]),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [handle, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(integer)],
        ),
        "rd_kafka_mock_broker_set_down": (integer, [handle, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_up": (integer, [handle, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_rtt": (integer, [handle, ctypes.c_int32, integer]),
    }
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise InfrastructureError(
                f"confluent-kafka {confluent_kafka.__version__} brings a librdkafka without {name}: install "
                "its wheel with pip, or use a real broker"
            ) from None
        function.restype, function.argtypes = result, arguments
    return library
