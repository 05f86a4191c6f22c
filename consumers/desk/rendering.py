"""Rendering: templates become pages, with times, amounts and probabilities as people read them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

_NOTHING: Final = "\N{EN DASH}"
STYLE: Final = files("consumers.desk").joinpath("pages", "style.css").read_bytes()
STYLE_VERSION: Final = sha256(STYLE).hexdigest()[:12]


def render(page: str, **what: Any) -> str:
    """Return a page's HTML. Whatever comes from outside is escaped.

    Parameters
    ----------
    page
        Its template's name without ending.
    **what
        What the template shows.
    """
    return _ENVIRONMENT.get_template(f"{page}.html").render(what)


def case_path(transaction_id: str) -> str:
    """Return where a transaction's page is.

    Examples
    --------
    >>> case_path("a/b c")
    '/case?transaction=a%2Fb+c'
    """
    return "/case?" + urlencode({"transaction": transaction_id})


def money(amount: float | None) -> str:
    """Return an amount.

    Examples
    --------
    >>> money(1234.5)
    '1,234.50'
    """
    return _NOTHING if amount is None else f"{amount:,.2f}"


def share(probability: float) -> str:
    r"""Return a probability in percent, never rounded up to certainty, nor parted from its sign.

    Examples
    --------
    >>> share(0.8731), share(0.99999), share(0.0001)
    ('87.3\xa0%', '>\xa099.9\xa0%', '<\xa00.1\xa0%')
    """
    percent = 100 * probability
    if percent > 99.9:  # noqa: PLR2004
        return ">\N{NO-BREAK SPACE}99.9\N{NO-BREAK SPACE}%"
    if 0 < percent < 0.1:  # noqa: PLR2004
        return "<\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%"
    return f"{percent:.1f}\N{NO-BREAK SPACE}%"


def moment(time: datetime) -> str:
    """Return a time, in UTC.

    Examples
    --------
    >>> from datetime import UTC
    >>> moment(datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
    '2026-03-04 05:06'
    """
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def weights(reasons: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return each reason's words, and its percentage of all that they add together.

    Examples
    --------
    >>> weights([{"text": "a", "contribution": 3.0}, {"text": "b", "contribution": 1.0}])
    [('a', 75), ('b', 25)]
    >>> weights([{"text": "none spoke for it", "contribution": -0.5}])
    [('none spoke for it', 0)]
    """
    added = [max(0.0, float(reason["contribution"])) for reason in reasons]
    total = sum(added) or 1.0
    return [
        (str(reason["text"]), round(100 * part / total)) for reason, part in zip(reasons, added, strict=True)
    ]


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("consumers.desk", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "money": money,
    "share": share,
    "moment": moment,
    "weights": weights,
    "case_path": case_path,
}
_ENVIRONMENT.globals["style"] = f"/style.css?{STYLE_VERSION}"
