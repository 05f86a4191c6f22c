"""Delivery of alerts: order, commits, repeats, foreign records."""

import pytest

from consumers.alerts import AlertDelivery
from consumers.stopping import Stop
from stream.records import Alert, Record
from tests.consumers.made import ListSubscription, make_alert, placed


class Collected:
    """A sink that keeps what it takes, and can be told to fail or to give up."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refuse_after: int | None = None
        self.fail_after: int | None = None

    def deliver(self, alert: Alert, stop: Stop) -> bool:
        if len(self.taken) == self.fail_after:
            raise RuntimeError("told to fail")
        if len(self.taken) == self.refuse_after:
            stop.ask()
            return False
        self.taken.append(alert.transaction_id)
        return True


def test_every_alert_reaches_every_sink_in_order() -> None:
    batches = [[placed(make_alert(f"t{n}"), n) for n in range(3)], [placed(make_alert("t3"), 3)]]
    subscription = ListSubscription(batches)
    first, second = Collected(), Collected()
    delivery = AlertDelivery(subscription, [first, second])
    delivery.run(Stop())
    assert first.taken == second.taken == ["t0", "t1", "t2", "t3"]
    assert delivery.delivered == 4
    assert subscription.committed == {("alerts", 0): 4}


def test_an_alert_that_comes_again_is_delivered_once_and_committed() -> None:
    subscription = ListSubscription([[placed(make_alert("t0"), 0), placed(make_alert("t0"), 1)]])
    sink = Collected()
    delivery = AlertDelivery(subscription, [sink])
    delivery.run(Stop())
    assert sink.taken == ["t0"]
    assert delivery.repeated == 1
    assert subscription.committed == {("alerts", 0): 2}


def test_what_is_remembered_is_bounded() -> None:
    names = ["a", "b", "c", "a"]
    subscription = ListSubscription([[placed(make_alert(name), n) for n, name in enumerate(names)]])
    sink = Collected()
    AlertDelivery(subscription, [sink], remembered=2).run(Stop())
    assert sink.taken == names


def test_a_foreign_record_is_counted_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    foreign = [b"", b'{"oops', b"[]", b"\xff"]
    records: list[Record] = [placed(value, n) for n, value in enumerate(foreign)]
    subscription = ListSubscription([[*records, placed(make_alert("t0"), 4)]])
    sink = Collected()
    delivery = AlertDelivery(subscription, [sink])
    delivery.run(Stop())
    assert sink.taken == ["t0"]
    assert delivery.foreign == 4
    assert subscription.committed == {("alerts", 0): 5}
    assert "alerts/0 at 1 is not a record of ours" in caplog.text


def test_a_stop_in_the_middle_commits_what_was_delivered_and_no_more() -> None:
    subscription = ListSubscription([[placed(make_alert(f"t{n}"), n) for n in range(5)]])
    sink = Collected()
    sink.refuse_after = 2
    AlertDelivery(subscription, [sink]).run(Stop())
    assert sink.taken == ["t0", "t1"]
    assert subscription.committed == {("alerts", 0): 2}


def test_a_sink_that_fails_leaves_its_alert_uncommitted() -> None:
    subscription = ListSubscription([[placed(make_alert(f"t{n}"), n) for n in range(5)]])
    sink = Collected()
    sink.fail_after = 3
    with pytest.raises(RuntimeError, match="told to fail"):
        AlertDelivery(subscription, [sink]).run(Stop())
    assert subscription.committed == {("alerts", 0): 3}


def test_partitions_are_committed_apart() -> None:
    batch = [placed(make_alert("a"), 7, partition=0), placed(make_alert("b"), 2, partition=1)]
    subscription = ListSubscription([batch])
    AlertDelivery(subscription, [Collected()]).run(Stop())
    assert subscription.committed == {("alerts", 0): 8, ("alerts", 1): 3}


def test_silence_counts_only_once_the_group_has_given_out_its_partitions() -> None:
    subscription = ListSubscription([[], [], [], [placed(make_alert("t0"), 0)]])
    subscription.joined = False
    sink = Collected()
    AlertDelivery(subscription, [sink]).run(Stop(), idle_seconds=0.5)
    assert sink.taken == ["t0"]

    joined = ListSubscription([[], [placed(make_alert("t1"), 0)]])
    AlertDelivery(joined, [sink]).run(Stop(), idle_seconds=0.5)
    assert sink.taken == ["t0"], "silence for so long ends it"
