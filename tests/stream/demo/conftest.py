"""A demo's story, made up: what the view, the plain lines and the summary are tested with."""

from collections.abc import Callable

import pytest

from stream.clock import DAY_MS
from stream.demo.figures import Figures
from stream.demo.plan import START, Plan
from stream.demo.scrape import Histogram
from stream.demo.services import Services
from stream.demo.story import Story
from stream.demo.witness import Sighting
from stream.records import Alert, DeadLetter, DeadLetterReason, ModelEvent, Reason
from stream.settings import Settings

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


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def new_story(seconds: Seconds) -> Callable[[], Story]:
    """Return a factory of stories in which nothing has happened yet."""
    return lambda: Story(Plan.of(240_000, "sudden", 7), "transactions", seconds)


@pytest.fixture
def story(new_story: Callable[[], Story], seconds: Seconds) -> Story:
    """Return a story that has come to day 90 of 120, 180,000 transactions, with a drift and a swap."""
    told = new_story()
    for day in range(91):
        seconds.now += 0.5
        dip = 0.3 if 60 <= day < 75 else 0.0
        quality = {"logistic-1": 0.4 + day / 400 - dip, "forest-1": 0.5 + day / 350 - dip / 2}
        told.take_in(
            figures(day, 2_000 * day, average_precision=quality if day else {}), Sighting([], [], [])
        )
    alerts = [an_alert(number) for number in range(1, 30)]
    events = [an_event("drift", "logistic-1: frauds scored too low, 0.21 before and 0.43 after"), an_event()]
    told.see(Sighting(alerts, events, [a_dead_letter(1), a_dead_letter(2)]))
    return told


@pytest.fixture
def services() -> Services:
    return Services(Settings(), "embedded broker at 127.0.0.1:9092", "embedded Redis", None)
