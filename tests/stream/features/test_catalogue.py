"""The catalogue of features."""

from pathlib import Path

import numpy as np
import pytest

from stream.columns import Transactions
from stream.features.catalogue import CATALOGUE, FEATURE_NAMES, WIDTH, catalogue_page
from stream.features.words import say
from stream.models.compiled import Constant
from stream.pipeline.decision import ByThreshold
from stream.pipeline.scoring import BatchState, Served, score_batch
from stream.records import Transaction

pytestmark = pytest.mark.usefixtures("both_ways")

PAGE = Path(__file__).parents[3] / "docs" / "features.md"


def test_the_page_of_features_is_fresh() -> None:
    assert PAGE.read_text() == catalogue_page(), "run: python -m stream.features.catalogue > docs/features.md"


def test_a_pending_record_has_room_for_no_more_features() -> None:
    assert WIDTH <= 30
    assert len(set(FEATURE_NAMES)) == WIDTH


@pytest.mark.parametrize("country", [None, "FR"])
def test_a_customer_and_terminal_never_seen_have_the_defaults(country: str | None) -> None:
    transaction = Transaction(
        transaction_id="t",
        event_time=1_700_000_000_000,
        customer_id="unseen",
        terminal_id="unseen",
        amount=123.0,
        country=country,
        merchant_category=country,
        channel=country,
    )
    one = Transactions.of([transaction])
    state = BatchState.nothing(one)
    batch = score_batch(one, state, [Served("calm-1", 1, Constant(0.01))], ByThreshold(0.5), 0)
    values = dict(zip(FEATURE_NAMES, batch.scored.pendings()["t"].vector.tolist(), strict=True))
    for feature in CATALOGUE:
        if feature.default is not None:
            assert values[feature.name] == feature.default, feature.name
    assert [f.name for f in CATALOGUE if f.default is None] == ["amount", "hour_of_day"]


def test_every_feature_has_words() -> None:
    row = dict(zip(FEATURE_NAMES, np.zeros(WIDTH).tolist(), strict=True))
    assert all(say(name, row) for name in FEATURE_NAMES)
