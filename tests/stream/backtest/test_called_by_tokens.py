"""A backtest calls people as the pipeline does, and what they are called changes no score."""

from collections.abc import Mapping
from datetime import timedelta

from stream.backtest.run import Backtest
from stream.pipeline.pending import Pending
from stream.recording import Recorded
from stream.settings import Settings
from stream.tokens import Tokens
from tests.services.traffic import LARGE, transactions

KEY = "token-key-of-this-very-test"
CARD = "5425233430109903"


def recording(card: str) -> list[Recorded]:
    """Return traffic in which one customer is called by a card number, and every tenth transaction too."""
    return [
        Recorded(
            type(one)(
                transaction_id=f"{card}/{n}" if n % 10 == 0 else one.transaction_id,
                event_time=one.event_time,
                customer_id=card if one.customer_id == "a-customer-3" else one.customer_id,
                terminal_id=one.terminal_id,
                amount=one.amount,
            ),
            is_fraud=one.amount >= LARGE,
        )
        for n, one in enumerate(transactions(600, customers=8))
    ]


def scored(source: list[Recorded], settings: Settings) -> dict[str, Pending]:
    found: dict[str, Pending] = {}

    def take(some: Mapping[str, Pending]) -> None:
        found.update(some)

    Backtest(settings).run(source, timedelta(hours=1), timedelta(minutes=10), on_scored=take)
    return found


def test_tokens_are_used_and_change_no_score() -> None:
    settings = Settings(champion="logistic", challengers=(), snapshot_labels=50)
    token = Tokens("cards", KEY.encode()).identifier(CARD)
    # Samples are drawn by the transaction's identifier, so it is compared with what the tokens are.
    plain = scored(recording(token), settings)
    keyed = Settings(champion="logistic", challengers=(), snapshot_labels=50, token_key=KEY)
    called = scored(recording(CARD), keyed)
    assert called == plain
    assert {one.customer_id for one in called.values()} & {CARD, token} == {token}
    assert not any(CARD in name for name in called)
