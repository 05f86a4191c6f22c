"""What a baseline counts on its /metrics."""

from typing import Final

from prometheus_client import Counter, Histogram

TRANSACTIONS: Final = Counter("baseline_transactions_total", "Transactions scored.")
DEAD_LETTERS: Final = Counter("baseline_dead_letters_total", "Records that could not be used.")
ALERTS: Final = Counter("baseline_alerts_total", "Scores that were alerts.")
SECONDS: Final = Histogram("baseline_scoring_seconds", "Time that a transaction took.")
