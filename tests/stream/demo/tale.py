"""What a demo's story is made of, made up."""

from stream.clock import DAY_MS
from stream.demo.figures import Figures
from stream.demo.plan import START
from stream.demo.scrape import Histogram
from stream.records import Alert, DeadLetter, DeadLetterReason, ModelEvent, Reason

START_MS = round(START.timestamp() * 1000)
QUALITY = {"logistic-1": 0.61, "forest-1": 0.74}


class Seconds:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def an_alert(number: int = 1) -> Alert:
    return Alert(
        transaction_id=f"s7-{number}",
        event_time=START_MS + number * DAY_MS,
        customer_id=f"C{number}",
        terminal_id="T33",
        amount=420.0,
        score=0.97,
        decision="alert",
        threshold=0.5,
        model_version="logistic-1",
        snapshot=3,
        feature_schema="abc",
        features=(1.0,),
        shadow={},
        scored_at=0,
        reasons=(
            Reason(feature="amount_ratio", value=8.4, contribution=2.0, text="amount 8.4 times the usual"),
            Reason(feature="new_terminal", value=1.0, contribution=0.4, text="first time at this terminal"),
        ),
    )


def an_event(kind: str = "swap", detail: str = "forest-1 takes over from logistic-1") -> ModelEvent:
    return ModelEvent(
        kind=kind,  # type: ignore[arg-type]  # a test may name any
        model_version="forest-1",
        detail=detail,
        evidence={},
        label_offset=41,
        event_time=START_MS + 70 * DAY_MS,
        recorded_at=0,
    )


def a_dead_letter(offset: int, topic: str = "transactions") -> DeadLetter:
    return DeadLetter(
        reason=DeadLetterReason.MALFORMED_JSON,
        detail="",
        topic=topic,
        partition=0,
        offset=offset,
        timestamp=0,
        key=None,
        value=None,
        failed_at=0,
    )


def figures(day: float, scored: int, **changes: object) -> Figures:
    values: dict[str, object] = {
        "published": scored + 2,
        "scored": scored,
        "refused": 2,
        "alerts": 12,
        "labels_published": 900,
        "labels": {"joined": 890, "duplicate": 10},
        "learned": 890,
        "drifts": 1,
        "swaps": 1,
        "transactions_lag": 1_234,
        "labels_lag": 5,
        "event_time_seconds": START.timestamp() + day * 86_400,
        "average_precision": QUALITY,
        "champion": "logistic-1",
        "latency": Histogram((0.1, 1.0, float("inf")), (scored / 2, scored, scored)),
    }
    return Figures(**{**values, **changes})  # type: ignore[arg-type]  # names are checked at run time
