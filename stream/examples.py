"""Examples: how each command is used first, as its help shows and a test parses."""

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "alerts": (
        "fraudstream alerts",
        "fraudstream alerts --quiet --webhook https://desk.example.org/alerts",
    ),
    "archive": ("fraudstream archive /var/lib/fraudstream/archive",),
    "backtest": (
        "fraudstream backtest payments.csv --report report.html",
        "fraudstream backtest payments.csv --column amount=value --column customer_id=card --label-delay 14d",
    ),
    "cases": ("fraudstream cases",),
    "demo": (
        "fraudstream demo",
        "fraudstream demo --transactions 100000 --summary summary.json",
    ),
    "desk": ("fraudstream desk --first-look",),
    "desk-user": (
        "fraudstream desk-user ana",
        "fraudstream desk-user vic --role viewer",
    ),
    "features": ("fraudstream features show customer C17",),
    "forget": ("fraudstream forget C17",),
    "models": (
        "fraudstream models list",
        "fraudstream models promote ensemble-2 --why 'it ranks the new frauds better'",
    ),
    "redrive": (
        "fraudstream redrive --list",
        "fraudstream redrive",
    ),
    "replay": (
        "fraudstream replay payments.csv",
        "fraudstream replay payments.csv --column amount=value --speed 3600",
    ),
    "rights": (
        "fraudstream rights redis",
        "fraudstream rights kafka score learn",
    ),
    "settle": ("fraudstream settle --after 30d",),
    "simulate": (
        "fraudstream simulate --days 30 --scenario sudden",
        "fraudstream simulate --days 0 --speed 3600",
    ),
    "topics": (
        "fraudstream topics create",
        "fraudstream topics check",
    ),
    "verdict": ("fraudstream verdict t1 fraud --who ana --why 'the customer was called'",),
    "worker": (
        "fraudstream worker",
        "fraudstream worker --role score --http-port 8001",
    ),
}


def examples_of(command: str) -> str | None:
    """Return the end of a command's help; None where there are no examples.

    Examples
    --------
    >>> examples_of("settle").splitlines()[1:]
    ['Examples:', '  fraudstream settle --after 30d']
    """
    lines = EXAMPLES.get(command)
    # Click leaves the lines of a paragraph that begins with this mark as they are.
    return None if lines is None else "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
