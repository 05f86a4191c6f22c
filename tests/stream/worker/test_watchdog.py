from stream.worker.watchdog import Place, Sight, Watchdog

LIMIT = 60
BEHIND = {0: Place(reached=10, first=0, end=20)}
DONE = {0: Place(reached=20, first=0, end=20)}


def sight(
    places: dict[int, Place] | None = BEHIND,
    *,
    beat: float | None = None,
    batch: float | None = None,
    excused: bool = False,
) -> Sight:
    return Sight(beat, batch, excused, places)


class Watched:
    """A watchdog with the clock and the looks of a test."""

    def __init__(self, limit: float = LIMIT, batch_limit: float = 45) -> None:
        self.dog = Watchdog(limit, batch_limit)
        self.now = 1_000.0

    def goes_on(self, seconds: int, seen: Sight) -> str | None:
        """Look once a second, and return the first thing that it says."""
        for _ in range(seconds):
            self.now += 1
            reason = self.dog.look(seen, self.now)
            if reason is not None:
                return reason
        return None


def test_records_that_wait_while_nothing_is_done_are_a_stall_at_the_limit_and_not_before() -> None:
    watched = Watched()
    assert watched.goes_on(LIMIT, sight()) is None
    assert watched.dog.seconds == LIMIT - 1
    said = watched.goes_on(1, sight())
    assert said is not None
    assert "60 s" in said
    assert "partition 0 is at offset 10 and goes on to 20" in said


def test_nothing_to_do_is_no_stall() -> None:
    assert Watched().goes_on(10 * LIMIT, sight(DONE)) is None
    assert Watched().goes_on(10 * LIMIT, sight({})) is None
    assert Watched().goes_on(10 * LIMIT, sight({0: Place(reached=None, first=5, end=5)})) is None


def test_a_partition_of_which_nothing_is_known_yet_stands_at_its_logs_start() -> None:
    said = Watched().goes_on(LIMIT + 1, sight({0: Place(reached=None, first=5, end=6)}))
    assert said is not None


def test_a_record_done_now_and_then_is_life_enough() -> None:
    watched = Watched()
    for offset in range(10):
        seen = sight({0: Place(reached=offset, first=0, end=20)})
        assert watched.goes_on(LIMIT - 1, seen) is None


def test_one_partition_that_stands_still_beside_a_busy_one_is_a_stall() -> None:
    watched = Watched()
    said = None
    for offset in range(LIMIT + 1):
        busy = Place(reached=offset, first=0, end=1_000)
        said = said or watched.goes_on(1, sight(BEHIND | {1: busy}, batch=float(offset)))
    assert said is not None
    assert "partition 0" in said
    assert "partition 1" not in said


def test_waiting_for_a_service_is_no_stall_and_afterwards_the_whole_limit_is_given_again() -> None:
    watched = Watched()
    assert watched.goes_on(LIMIT - 1, sight()) is None
    assert watched.goes_on(10 * LIMIT, sight(batch=1.0, excused=True)) is None
    assert watched.dog.seconds == 0
    assert watched.goes_on(LIMIT, sight()) is None


def test_a_broker_that_does_not_answer_is_no_stall() -> None:
    assert Watched().goes_on(10 * LIMIT, sight(None)) is None
    assert Watched().goes_on(10 * LIMIT, sight(None, batch=1.0)) is None


def test_a_batch_at_work_holds_up_the_others_for_as_long_as_it_may_take() -> None:
    watched = Watched(limit=60, batch_limit=600)
    assert watched.goes_on(600, sight(batch=1.0)) is None
    said = watched.goes_on(1, sight(batch=1.0))
    assert said is not None
    assert "blocked" in said
    assert "600 s" in said


def test_batches_one_after_the_other_are_no_blocked_one() -> None:
    watched = Watched(limit=5, batch_limit=5)
    for number in range(100):
        assert watched.goes_on(4, sight(DONE, batch=float(number))) is None


def test_the_longer_of_both_limits_goes_for_a_batch() -> None:
    assert Watched(limit=60, batch_limit=45).goes_on(60, sight(batch=1.0)) is None
    assert Watched(limit=5, batch_limit=45).goes_on(45, sight(batch=1.0)) is None
    assert Watched(limit=5, batch_limit=45).goes_on(46, sight(batch=1.0)) is not None


def test_an_event_loop_that_does_not_turn_is_a_stall_whatever_the_role_waits_for() -> None:
    watched = Watched()
    said = watched.goes_on(LIMIT + 1, sight(DONE, beat=7.0, excused=True))
    assert said is not None
    assert "event loop" in said


def test_of_a_loop_that_does_not_turn_the_batch_in_hand_is_not_blamed() -> None:
    watched = Watched()
    assert watched.goes_on(2, sight(batch=1.0)) is None
    said = watched.goes_on(LIMIT + 1, sight(beat=7.0, batch=1.0))
    assert said is not None
    assert "event loop" in said


def test_a_process_that_was_stopped_and_goes_on_has_not_stalled() -> None:
    watched = Watched()
    assert watched.goes_on(2, sight(beat=7.0, batch=1.0)) is None
    watched.now += 10 * LIMIT
    assert watched.goes_on(2, sight(beat=7.0, batch=1.0)) is None
    assert watched.goes_on(2, sight()) is None
    watched.now += 10 * LIMIT
    assert watched.goes_on(2, sight()) is None


def test_a_partition_that_is_given_away_and_comes_back_begins_anew() -> None:
    watched = Watched()
    assert watched.goes_on(LIMIT - 1, sight()) is None
    assert watched.goes_on(1, sight({})) is None
    assert watched.goes_on(LIMIT, sight()) is None
