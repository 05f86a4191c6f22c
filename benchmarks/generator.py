"""An open-loop generator: transactions and labels at fixed moments, whatever the pipeline does meanwhile.

    python -m benchmarks.generator --broker HOST:PORT --name NAME --rate 2000 --seconds 60 --json G.json

Transaction n is due at the beginning plus n / rate. When the generator is late, it sends at once what is
due, and the moment that counts is the one at which it was due (no coordinated omission). Moments are those
of the machine's monotonic clock, which its processes share.
"""

import argparse
import json
import time
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.trained import keyed, label_of, simulator
from producers.publisher import Publisher
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.records import encode

_NAP_SECONDS: Final = 0.001
_AHEAD_SECONDS: Final = 0.5
_LINGER_MS: Final = 1.0
"""How long a transaction waits for others to share its request: counted as latency, like all waiting."""
_LABELS_LINGER_MS: Final = 50.0
"""Labels come from elsewhere, and are in no hurry."""


def main() -> None:
    """Send everything, each when it is due."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", required=True)
    parser.add_argument("--name", required=True, help="begins the topics' names")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--label-seconds", type=float, default=5.0, help="from a transaction to its label")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument(
        "--skip", type=int, default=0, help="transactions of the stream that were sent before"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, required=True, help="takes the beginning, and how late it was")
    args = parser.parse_args()
    count = round(args.rate * args.seconds)
    simulated = islice(simulator(args.customers, seed=args.seed), args.skip, args.skip + count)
    # Made before, so that nothing is left to do at its time but to send it.
    made = [
        (*keyed(one), one.transaction.transaction_id.encode(), encode(label_of(one))) for one in simulated
    ]
    topics = TopicNames(f"{args.name}.")
    access = KafkaAccess(args.broker)
    with (
        # What sends has a machine of its own where it matters; here it must not take a core while it waits.
        Publisher(access, linger_ms=_LINGER_MS, idempotent=False) as publisher,
        Publisher(access, linger_ms=_LABELS_LINGER_MS, idempotent=False) as labels,
    ):
        for one in (publisher, labels):
            one.partitions(topics.transactions)  # connects
        began = time.monotonic() + _AHEAD_SECONDS
        sent = labelled = 0
        latest = 0.0
        while labelled < count:
            passed = time.monotonic() - began
            due = min(count, int(passed * args.rate) + 1) if passed >= 0 else 0
            if due > sent:
                latest = max(latest, passed - sent / args.rate)
            for key, value, _, _ in made[sent:due]:
                publisher.publish(topics.transactions, key, value)
            sent = max(sent, due)
            mature = min(sent, max(0, int((passed - args.label_seconds) * args.rate)))
            for _, _, key, value in made[labelled:mature]:
                labels.publish(topics.labels, key, value)
            labelled = max(labelled, mature)
            publisher.serve()
            labels.serve()
            time.sleep(_NAP_SECONDS)
    args.json.write_text(json.dumps({"began": began, "sent": sent, "latest_ms": latest * 1000}))


if __name__ == "__main__":
    main()
