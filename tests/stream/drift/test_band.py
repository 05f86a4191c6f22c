import numpy as np

from stream.drift.band import Band, BandPolicy


def days(policy: BandPolicy, values: list[float]) -> list[int]:
    band = Band(policy)
    return [day for day, value in enumerate(values) if band.update(value) is not None]


def test_a_figure_that_leaves_its_band_is_said_once() -> None:
    assert days(BandPolicy(floor=0.1), [0.5] * 10 + [0.9] * 5) == [10]


def test_it_is_said_again_after_it_was_back() -> None:
    assert days(BandPolicy(floor=0.1), [0.5] * 10 + [0.9] + [0.5] * 2 + [0.9]) == [10, 13]


def test_falls_count_as_rises_do() -> None:
    assert days(BandPolicy(floor=0.1), [0.5] * 10 + [0.1]) == [10]


def test_a_new_level_becomes_usual() -> None:
    assert days(BandPolicy(floor=0.1), [0.5] * 10 + [0.9] * 20 + [0.5]) == [10, 30]


def test_nothing_is_said_in_the_first_days() -> None:
    assert days(BandPolicy(floor=0.1), [0.5, 0.9] * 3) == []


def test_what_has_always_wavered_may_go_on() -> None:
    random = np.random.default_rng(1)
    assert days(BandPolicy(), random.normal(1, 0.2, 400).tolist())[5:] == []


def test_small_distances_do_not_matter_however_still_it_was() -> None:
    assert days(BandPolicy(share=0.5), [1.0] * 10 + [1.4, 1.6]) == [11]
