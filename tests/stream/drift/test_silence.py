from stream.drift.silence import Silence

WORKING_WEEK = [100, 90, 110, 100, 95, 0, 0]


def said(counts: list[int]) -> list[int]:
    silence = Silence()
    return [day for day, count in enumerate(counts) if silence.update(count) is not None]


def test_whoever_spoke_every_day_is_missed_on_the_first_and_once() -> None:
    assert said([100] * 20 + [0] * 10) == [20]


def test_whoever_speaks_again_may_be_missed_again() -> None:
    assert said([100] * 20 + [0] * 2 + [100] * 25 + [0]) == [20]
    assert said([100] * 20 + [0] * 2 + [100] * 28 + [0]) == [20, 50]


def test_weekends_are_no_silence_and_what_goes_on_after_one_is() -> None:
    assert said(WORKING_WEEK * 8) == []
    assert said(WORKING_WEEK * 4 + [0, 0]) == [28]


def test_a_quiet_weekend_of_few_is_no_silence_where_weekdays_bring_many() -> None:
    assert said([40, 40, 40, 40, 40, 5, 4] * 4 + [40, 40, 40, 40, 40, 0, 0]) == []
    assert said([40, 40, 40, 40, 40, 5, 4] * 4 + [40, 40, 40, 40, 40, 0, 0, 0]) == [35]


def test_a_weekly_file_is_missed_when_it_is_due() -> None:
    assert said([700, 0, 0, 0, 0, 0, 0] * 4 + [0]) == [28]


def test_of_few_it_takes_longer_to_be_sure() -> None:
    assert said([2] * 28 + [0] * 10) == [34]


def test_bursts_may_have_longer_pauses() -> None:
    # Three a day on average, as the last.
    bursts = [0, 9, 12, 0, 0, 0, 1, 8, 0, 0, 0, 14, 0, 0, 0, 3, 11, 0, 0, 0, 0, 10, 5, 0, 0, 0, 2, 9]
    assert said(bursts + [0] * 10) == []
    assert said([3] * 28 + [0] * 10) == [32]


def test_nothing_is_said_of_a_source_that_has_just_begun() -> None:
    assert said([100] * 13 + [0] * 10) == []


def test_one_that_has_ended_for_good_says_nothing_more() -> None:
    assert said([100] * 20 + [0] * 400) == [20]
