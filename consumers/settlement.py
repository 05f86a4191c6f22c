"""Settlement: a transaction that nobody has called a fraud for long enough is labelled legitimate."""

from collections import deque
from typing import Final, NamedTuple

from consumers.decoder import Decoder
from consumers.partition_log import PartitionLog
from consumers.stopping import Stop
from stream.errors import TopicError
from stream.ports import Emitter, Outgoing
from stream.records import Label, Score, encode
from stream.tokens import NO_TOKENS, Tokens

ROUND_SECONDS: Final = 1.0
REMEMBERED_LABELS: Final = 100_000
"""Labels held to recognise a transaction whose score comes late, or again."""


class _Waiting(NamedTuple):
    """A scored transaction on its way to a label."""

    transaction_id: str
    offset: int
    due_ms: int
    labels_from: int
    """No label that speaks of it, or of a later one of its partition, lies before this offset."""


class PendingSettlements:
    """Which transactions wait for a label, in the order of each partition's scores.

    Pure: knows nothing of Kafka.

    Parameters
    ----------
    after_ms
        How long after its event time silence means legitimate.

    Notes
    -----
    Takes about 300 bytes for each transaction that waits: some millions fit into a gigabyte. One that is due
    waits on for those of its partition before it, which lateness alone can delay.

    Examples
    --------
    >>> pending = PendingSettlements(after_ms=1_000)
    >>> for offset, (name, time) in enumerate([("a", 0), ("b", 10), ("c", 1_500)]):
    ...     pending.scored(0, offset, name, time, labels_read_to=0)
    >>> pending.labelled("b", 0)
    >>> [label.transaction_id for label in pending.settle()]  # the stream's own clock stands at 1500
    ['a']
    >>> pending.scores_offset(0), len(pending)
    (2, 1)
    """

    def __init__(self, after_ms: int) -> None:
        self._after_ms = after_ms
        self._queues: dict[int, deque[_Waiting]] = {}
        self._ends: dict[int, int] = {}
        self._open: set[str] = set()
        self._labelled: dict[str, int] = {}
        self.now_ms = 0
        """The stream's own clock: the latest event time scored, in milliseconds."""

    def __len__(self) -> int:
        return len(self._open)

    def scored(
        self, partition: int, offset: int, transaction_id: str, event_time_ms: int, labels_read_to: int
    ) -> None:
        """Take note of a score at `offset`, when labels had been read up to `labels_read_to`."""
        self._ends[partition] = offset + 1
        self.now_ms = max(self.now_ms, event_time_ms)
        if transaction_id in self._labelled or transaction_id in self._open:
            return
        self._open.add(transaction_id)
        due_ms = event_time_ms + self._after_ms
        waiting = _Waiting(transaction_id, offset, due_ms, self._remembered_from(labels_read_to))
        self._queues.setdefault(partition, deque()).append(waiting)

    def labelled(self, transaction_id: str, offset: int) -> None:
        """Take note of a label at `offset`."""
        self._open.discard(transaction_id)
        self._labelled.setdefault(transaction_id, offset)
        if len(self._labelled) > REMEMBERED_LABELS:
            del self._labelled[next(iter(self._labelled))]

    def settle(self) -> list[Label]:
        """Take out what is due, and return its labels."""
        labels = []
        for queue in self._queues.values():
            while queue and (queue[0].transaction_id not in self._open or queue[0].due_ms <= self.now_ms):
                waiting = queue.popleft()
                if waiting.transaction_id in self._open:
                    self._open.remove(waiting.transaction_id)
                    labels.append(_legitimate(waiting))
        return labels

    def scores_offset(self, partition: int) -> int | None:
        """Return where a restart has to read the partition's scores from; None when none was read yet."""
        queue = self._queues.get(partition)
        return queue[0].offset if queue else self._ends.get(partition)

    def labels_offset(self, labels_read_to: int) -> int:
        """Return where a restart has to read labels from."""
        # What is remembered is read again too: the scores of these labels may still be to come.
        starts = [queue[0].labels_from for queue in self._queues.values() if queue]
        return min([*starts, self._remembered_from(labels_read_to)])

    def _remembered_from(self, labels_read_to: int) -> int:
        """Return the offset of the oldest label remembered: labels come in the order of their offsets."""
        return next(iter(self._labelled.values()), labels_read_to)


class Settlement:
    """Reads scores and labels, and publishes a label of source ``settlement`` where there has been silence.

    Run one of it: a second would double its labels, which is harmless and useless.

    Parameters
    ----------
    scores, labels
        The topics, with the offsets that earlier runs committed.
    emitter
        Publishes.
    labels_topic
        Where to.
    after_ms
        How long after its event time silence means legitimate, by the stream's own clock.
    tokens
        What identifiers are called: labels have them as their source calls them, scores as the stream does.

    Notes
    -----
    What waits is in memory alone. A score's offset is committed once every transaction up to it has its
    label, so that a restart reads what was waiting again; and the offset of labels far enough back that every
    label of these comes again too, our own included. Nothing is lost by a crash, nor settled twice.
    """

    def __init__(
        self,
        scores: PartitionLog,
        labels: PartitionLog,
        emitter: Emitter,
        labels_topic: str,
        after_ms: int,
        tokens: Tokens = NO_TOKENS,
    ) -> None:
        if labels.partitions != [0]:
            raise TopicError(
                f"topic {labels_topic!r} has {len(labels.partitions)} partitions where 1 should be;"
                " recreate it"
            )
        self._scores = scores
        self._labels = labels
        self._emitter = emitter
        self._labels_topic = labels_topic
        self._tokens = tokens
        self._pending = PendingSettlements(after_ms)
        self._decode_score = Decoder(Score)
        self._decode_label = Decoder(Label)
        self._committed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.settled = 0

    @property
    def waiting(self) -> int:
        """Transactions that wait for a label."""
        return len(self._pending)

    @property
    def foreign(self) -> int:
        """Records passed over because they were neither scores nor labels."""
        return self._decode_score.foreign + self._decode_label.foreign

    def run(self, stop: Stop, *, until_idle: bool = False) -> None:
        """Settle what is due, round after round, until told to stop or until there is nothing to read."""
        self._scores.start(self._scores.committed())
        self._labels.start(self._labels.committed())
        while not stop.asked:
            read = self._read(stop)
            if read is None:
                return
            self._settle()
            if until_idle and not read:
                return
            stop.wait(ROUND_SECONDS)

    def _read(self, stop: Stop) -> int | None:
        """Read both topics to their ends; return how many records there were, or None when told to stop.

        What was read in part is read again by the next run. Labels are read only to where they ended before
        the scores were read: so none comes before the score that brought it about.
        """
        read = 0
        labels_end = self._labels.ends()
        read_to = self._labels.positions[0]
        for record in self._scores.read_to(self._scores.ends()):
            read += 1
            score = self._decode_score(record)
            if score is not None:
                self._pending.scored(
                    record.partition, record.offset, score.transaction_id, score.event_time, read_to
                )
            if stop.asked:
                return None
        for record in self._labels.read_to(labels_end):
            read += 1
            label = self._decode_label(record)
            if label is not None:
                self._pending.labelled(self._tokens.identifier(label.transaction_id), record.offset)
            if stop.asked:
                return None
        return read

    def _settle(self) -> None:
        labels = self._pending.settle()
        self._emitter.emit(
            Outgoing(self._labels_topic, label.transaction_id.encode(), encode(label)) for label in labels
        )
        self.settled += len(labels)
        scores = {partition: self._pending.scores_offset(partition) for partition in self._scores.partitions}
        done = {partition: offset for partition, offset in scores.items() if offset is not None}
        offsets = done, {0: self._pending.labels_offset(self._labels.positions[0])}
        if offsets != self._committed:
            # Labels last: too old a position of theirs only has some of them read again.
            self._scores.commit(offsets[0])
            self._labels.commit(offsets[1])
            self._committed = offsets


def _legitimate(waiting: _Waiting) -> Label:
    return Label(
        transaction_id=waiting.transaction_id,
        is_fraud=False,
        source="settlement",
        label_time=waiting.due_ms,
    )
