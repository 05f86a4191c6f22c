"""From labels to an offer: what the fitter makes of them, and when."""

from dataclasses import replace

import msgspec
import pytest

from stream.adapters.memory import InMemoryInputLog
from stream.clock import DAY_MS
from stream.errors import FencedError, InfrastructureError, StateLostError, StoppedError
from stream.pipeline.pending import PendingBatch
from stream.pipeline.pending_packing import pack_pendings
from stream.ports import Token
from stream.records import Record
from stream.roles.fitter import FitterRole
from stream.roles.learner import LearnerRole
from stream.roles.patience import Patience
from stream.roles.pendings import PendingReader
from stream.roles.resumption import CatchUp
from tests.stream.roles.batch_world import KEY, NOW, POLICY, World, fitted_at, label, labels


def test_labels_lead_to_an_offer_once_there_are_frauds_enough() -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    fitter = world.fitter()
    assert fitter.handle(labels(0, 90)).fits == []
    assert world.store.offered(0) is None
    report = fitter.handle(labels(90, 100))
    (done,) = report.fits
    assert (report.labels, report.joined, report.skipped) == (10, 10, 0)
    assert (done.frauds, report.frauds) == (10, 10)
    info = world.offered()
    assert (info.recipe, info.snapshot, info.label_offset) == ("lightgbm", 1, 90)
    assert info.metrics["frauds_learned"] == 10
    assert info.metrics["learned"] == done.rows < 91, "half of the legitimate ones are left out"
    assert info.metrics["first_label_time"] == NOW + 7 * DAY_MS
    assert info.metrics["last_label_time"] == done.fitted_to_ms == NOW + 7 * DAY_MS + 90 * 600_000
    assert info.parameters["num_leaves"] == 15


def test_it_fits_again_when_label_time_says_so() -> None:
    world = World()
    world.learner()
    world.score(0, 600)
    report = world.fitter().handle(labels(0, 600))
    # A day is 144 of these transactions.
    assert [(done.fitted_to_ms - NOW) // 600_000 - 7 * 144 for done in report.fits] == [90, 234, 378, 522]
    assert [done.revision for done in report.fits] == [1, 2, 3, 4]
    assert world.offered().snapshot == 4


def test_how_labels_are_cut_into_batches_changes_nothing() -> None:
    def offers(size: int) -> list[bytes]:
        world = World()
        world.learner()
        world.score(0, 400)
        fitter, found = world.fitter(), []
        for start in range(0, 400, size):
            if fitter.handle(labels(start, min(start + size, 400))).fits:
                offered = world.store.offered(0)
                assert offered is not None
                found.append(offered[1])
        return found

    assert offers(7) == offers(50)
    assert len(offers(50)) == 3


def test_lightgbm_itself_gives_the_same_offer_twice() -> None:
    sealed = []
    for _ in range(2):
        world = World()
        world.learner()
        world.score(0, 300)
        fitter = FitterRole(world.store, world.clock, POLICY, KEY, world.waits)
        fitter.start()
        assert len(fitter.handle(labels(0, 300)).fits) == 2
        sealed.append(world.store.offered(0))
    assert sealed[0] == sealed[1] is not None


def test_labels_without_a_transaction_or_of_other_features_are_left_out_and_counted() -> None:
    world = World()
    world.learner()
    world.score(0, 3)
    stored = PendingReader(world.store, world.waits.redis).open(world.store.find_pending(["t1"], 2), range(2))
    other = msgspec.structs.replace(stored["t1"], feature_schema="ffffffff")
    older = pack_pendings(PendingBatch.of({"t1": other}))
    tenure = world.store.take_partition(1)
    world.store.commit(tenure, tenure.watermark, {}, older.records, lineups=older.lineups)
    report = world.fitter(replace(POLICY, negative_rate=1.0)).handle(labels(0, 5))
    assert (report.labels, report.joined, report.skipped, report.rows) == (5, 2, 3, 2)


def test_what_is_no_label_is_left_to_the_learner() -> None:
    world = World()
    fitter = world.fitter()
    report = fitter.handle([Record("labels", 0, 0, NOW, None, b"{}")])
    assert (report.labels, report.skipped) == (0, 0)
    assert fitter.offset == 0
    assert not world.emitter.emitted


def test_labels_handed_out_again_are_passed_over_and_lost_ones_counted() -> None:
    world = World()
    world.learner()
    world.score(0, 20)
    fitter = world.fitter()
    fitter.handle(labels(0, 5))
    assert fitter.handle(labels(0, 8)).labels == 3
    assert fitter.handle([label(12)]).gap == 4


def test_a_fitter_that_starts_again_reads_everything_and_goes_on_with_the_schedule() -> None:
    world = World()
    world.learner()
    world.score(0, 300)
    world.fitter().handle(labels(0, 200))
    heir = world.fitter()
    assert heir.start() == 0
    report = heir.handle(labels(0, 300))
    assert [done.revision for done in report.fits] == [2]
    assert world.offered().snapshot == 2
    assert report.frauds == 30


def begun(scored: int) -> tuple[World, LearnerRole, FitterRole]:
    """Have transactions scored, and a first fit at the ninetieth."""
    world = World()
    learner, fitter = world.learner(), world.fitter()
    world.score(0, scored)
    assert fitted_at(fitter.handle(labels(0, 100))) == [(90, False)]
    return world, learner, fitter


def alarm(learner: LearnerRole, offset: int) -> None:
    """Let the learner have opened a case."""
    learner.learner.alarm = offset
    learner.learner.publish()
    learner._publisher.publish(learner.learner)


def test_an_alarm_asks_for_a_fit_and_leaves_the_schedule_alone() -> None:
    world, learner, fitter = begun(400)
    alarm(learner, 140)
    assert fitted_at(fitter.handle(labels(100, 200))) == [(140, True)]
    assert fitter.handle(labels(200, 210)).fits == [], "once for each alarm"
    assert fitted_at(fitter.handle(labels(210, 400))) == [(234, False), (378, False)]
    # One that the learner raises behind the fitter is fitted for with the next label.
    alarm(learner, 390)
    world.score(400, 402)
    assert fitted_at(fitter.handle(labels(400, 402))) == [(400, True)]


def test_a_fit_that_knows_what_an_alarm_was_about_is_enough() -> None:
    _, learner, fitter = begun(120)
    alarm(learner, 90)
    assert fitter.handle(labels(100, 120)).fits == []


def test_an_alarm_with_too_few_frauds_waits_for_them() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 100)
    alarm(learner, 20)
    assert fitted_at(world.fitter().handle(labels(0, 100))) == [(90, False)]


def test_a_fitter_that_starts_again_knows_the_alarms_it_has_fitted_for_and_its_schedule() -> None:
    world, learner, fitter = begun(300)
    alarm(learner, 140)
    assert fitted_at(fitter.handle(labels(100, 200))) == [(140, True)]
    assert fitted_at(world.fitter().handle(labels(0, 300))) == [(234, False)]


def test_a_roster_that_cannot_be_read_leaves_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    token, _ = world.store.take_learner()
    world.store.publish(token, b"damaged", {})
    assert fitted_at(world.fitter().handle(labels(0, 100))) == [(90, False)]
    assert "the roster cannot be read, fitting by the schedule alone" in caplog.text


def test_an_offer_that_cannot_be_read_does_not_keep_a_fitter_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    world.store.offer(world.store.take_fitter(), b"damaged")
    assert len(world.fitter().handle(labels(0, 100)).fits) == 1
    assert "the last offer cannot be read, fitting anew" in caplog.text


def test_a_fitter_that_was_replaced_is_refused() -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    old = world.fitter()
    world.fitter()
    with pytest.raises(FencedError):
        old.handle(labels(0, 100))


def test_a_fit_whose_offer_did_not_get_through_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    fitter = world.fitter()

    def away(_token: Token, _snapshot: bytes) -> int:
        world.stop.set()
        raise InfrastructureError("Redis is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "offer", away)
        with pytest.raises(StoppedError):
            fitter.handle(labels(0, 100))
    assert fitter.fitted_to_ms is None
    world.stop.clear()
    (done,) = fitter.handle(labels(0, 100)).fits
    assert done.frauds == world.offered().metrics["frauds_learned"] == 10


def test_labels_wait_for_scorers_that_read_again_what_redis_has_lost() -> None:
    world = World()
    world.learner()
    waited: list[InfrastructureError] = []

    def score(error: InfrastructureError | None) -> None:
        if error is not None:
            waited.append(error)
            world.score(0, 40)

    patience = Patience(world.stop, score, first_pause=0.0, longest_pause=0.0)
    fitter = world.fitter()
    fitter.start(
        CatchUp(world.store, InMemoryInputLog({0: 39, 1: 40}), 2, world.waits._replace(scorers=patience))
    )
    assert fitter.handle(labels(0, 40)).joined == 40
    assert len(waited) == 1


def test_a_fitter_whose_role_redis_has_lost_ends() -> None:
    world = World()
    world.learner()
    world.score(0, 50)
    fitter = world.fitter()
    fitter.handle(labels(0, 50))
    world.store.flush()
    world.learner()
    world.score(50, 200)
    with pytest.raises(StateLostError, match="the fitter's role: of token 1 nothing is left"):
        fitter.handle(labels(50, 200))
