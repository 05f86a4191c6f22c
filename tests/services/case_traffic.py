"""What fills a case store in tests: labels, and batches of what the topics would have held."""

from consumers.cases.store import Batch, Placed
from stream.clock import DAY_MS
from stream.records import Alert, Label, LabelSource, Record, Score, encode
from tests.consumers.made import T0


def made_label(transaction_id: str, *, is_fraud: bool, source: LabelSource = "chargeback") -> Label:
    """Return a label that became known a day after T0."""
    return Label(transaction_id=transaction_id, is_fraud=is_fraud, source=source, label_time=T0 + DAY_MS)


def batch(*contents: Score | Alert | Label, first_offset: int = 0) -> Batch:
    """Return a batch of these, labels at the offsets at which they stand here."""
    made = Batch()
    for offset, content in enumerate(contents, first_offset):
        kind = {Alert: "alerts", Score: "scores", Label: "labels"}[type(content)]
        placed = Placed(content, Record(kind, 0, offset, T0, b"key", encode(content)))
        {"alerts": made.alerts, "scores": made.scores, "labels": made.labels}[kind].append(placed)
        made.positions[kind, 0] = offset + 1
    return made
