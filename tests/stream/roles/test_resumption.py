import threading

import pytest

from stream.adapters.memory import InMemoryInputLog, InMemoryStore
from stream.errors import InfrastructureError, StateLostError, StoppedError
from stream.roles.patience import Patience, Waits
from stream.roles.resumption import CatchUp, Place, Resumption, resume
from stream.settings import LostState

POLICIES: list[LostState] = ["stop", "rebuild", "cold"]
PATIENT = Waits.alike(Patience(threading.Event(), lambda _: None, first_pause=0.0, longest_pause=0.0))


def resumed(watermark: int, acknowledged: int, begins: int, policy: LostState) -> Resumption:
    log = InMemoryInputLog({3: acknowledged}, {3: begins})
    return resume(Place("transactions", 3, log), watermark, policy, PATIENT)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("watermark", "acknowledged"),
    [(-1, 0), (99, 100), (99, 40), (99, 0)],
    ids=["first start", "orderly stop", "crash before the acknowledgement", "offsets of the group expired"],
)
def test_nothing_is_lost_where_all_that_was_acknowledged_is_stored(
    watermark: int, acknowledged: int, policy: LostState, caplog: pytest.LogCaptureFixture
) -> None:
    assert resumed(watermark, acknowledged, 0, policy) == Resumption(acknowledged, acknowledged)
    assert not caplog.records


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("begins", [0, 60])
def test_what_lies_behind_the_watermark_is_read_again_whatever_the_setting(
    begins: int, policy: LostState, caplog: pytest.LogCaptureFixture
) -> None:
    assert resumed(59, 100, begins, policy) == Resumption(60, 100, "reread")
    assert "transactions/3: Redis has lost the effects of 40 acknowledged records" in caplog.text
    assert "from offset 60 to 99" in caplog.text


@pytest.mark.parametrize(
    ("watermark", "have"), [(-1, "nothing"), (19, "only the first, to offset 19,")], ids=["all", "a hole"]
)
def test_what_cannot_be_read_again_from_the_watermark_stops_the_start_with_the_two_ways_on(
    watermark: int, have: str
) -> None:
    with pytest.raises(StateLostError) as raised:
        resumed(watermark, 100, 30, "stop")
    assert str(raised.value) == (
        f"transactions/3: Redis has lost state: it has {have} of the records acknowledged before offset 100;"
        " restore it from a backup, or set FRAUD_LOST_STATE=rebuild to read the 70 of them again that the"
        " topic still has, or FRAUD_LOST_STATE=cold to go on without"
    )


@pytest.mark.parametrize("watermark", [-1, 19])
def test_a_setting_chooses_how_to_go_on(watermark: int, caplog: pytest.LogCaptureFixture) -> None:
    assert resumed(watermark, 100, 30, "rebuild") == Resumption(30, 100, "rebuild")
    assert "rebuilding it from the 70 that the topic still has" in caplog.text
    assert resumed(watermark, 100, 30, "cold") == Resumption(100, 100, "cold")
    assert "going on from offset 100 without" in caplog.text


@pytest.mark.parametrize("begins", [100, 130])
def test_what_the_topic_has_lost_too_cannot_be_rebuilt(begins: int, caplog: pytest.LogCaptureFixture) -> None:
    assert resumed(-1, 100, begins, "rebuild") == Resumption(100, 100, "cold")
    assert "going on from offset 100 without, as the topic has none of them" in caplog.text


def test_a_kafka_that_is_away_is_waited_for() -> None:
    class Flaky(InMemoryInputLog):
        failures = 3

        def acknowledged(self, partition: int) -> int:
            self.failures -= 1
            if self.failures >= 0:
                raise InfrastructureError("no broker")
            return super().acknowledged(partition)

    place = Place("transactions", 3, Flaky({3: 100}))
    assert resume(place, 99, "stop", PATIENT) == Resumption(100, 100)


class TestCatchUp:
    def test_does_not_wait_where_nothing_is_lost(self) -> None:
        store = InMemoryStore()
        store.commit(store.take_partition(0), 99, {}, {})
        catch_up = CatchUp(store, InMemoryInputLog({0: 100}), 2, PATIENT)
        catch_up.begin()
        catch_up.wait()

    def test_waits_until_every_partition_is_where_it_had_been(self) -> None:
        store = InMemoryStore()
        said: list[str] = []

        def score_on(error: InfrastructureError | None) -> None:
            if error is None:
                return
            said.append(str(error))
            for partition in (1, 4):
                tenure = store.take_partition(partition)
                store.commit(tenure, tenure.watermark + 25, {}, {})

        waits = Waits.alike(Patience(threading.Event(), score_on, first_pause=0.0, longest_pause=0.0))
        catch_up = CatchUp(store, InMemoryInputLog({1: 100, 4: 50}), 5, waits)
        catch_up.begin()
        catch_up.wait()
        assert store.transactions_done(5) == {0: -1, 1: 99, 2: -1, 3: -1, 4: 99}
        assert said[0].endswith(
            "labels wait: partition 1 stands at offset -1 of 99, partition 4 stands at offset -1 of 49"
        )
        assert said[2].endswith("labels wait: partition 1 stands at offset 49 of 99")
        assert len(said) == 4
        catch_up.wait()
        assert len(said) == 4, "having caught up once, it asks no more"

    def test_ends_with_the_process(self) -> None:
        stop = threading.Event()
        waits = Waits.alike(Patience(stop, lambda _: stop.set()))
        catch_up = CatchUp(InMemoryStore(), InMemoryInputLog(dict.fromkeys(range(8), 9)), 8, waits)
        catch_up.begin()
        with pytest.raises(StoppedError, match=r"and 5 more$"):
            catch_up.wait()
