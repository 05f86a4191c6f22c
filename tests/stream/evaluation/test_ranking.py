import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.evaluation.ranking import average_precision, log_loss

judged = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.1001, 0.5, 0.9, 1.0])), min_size=1, max_size=50
)


@given(judged)
def test_average_precision_is_the_mean_over_frauds_of_precision_at_their_score(
    pairs: list[tuple[bool, float]],
) -> None:
    is_fraud = np.array([fraud for fraud, _ in pairs])
    score = np.array([s for _, s in pairs])
    naive = [is_fraud[score >= s].mean() for fraud, s in pairs if fraud]
    if not naive:
        assert np.isnan(average_precision(is_fraud, score))
    else:
        assert average_precision(is_fraud, score) == pytest.approx(np.mean(naive))


def test_scores_that_say_nothing_get_the_share_of_frauds() -> None:
    is_fraud = np.array([True] * 3 + [False] * 7)
    assert average_precision(is_fraud, np.full(10, 0.4)) == pytest.approx(0.3)


def test_a_certain_mistake_costs_much_but_not_everything() -> None:
    assert log_loss(np.array([True]), np.array([0.0])) == pytest.approx(-np.log(1e-15))
