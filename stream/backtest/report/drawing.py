"""Drawings: Matplotlib figures as inline SVG that follows the page's colours.

Matplotlib because axes, ticks, dates and stretched scales are its business; and not one of the libraries that
draw in the browser, because a report has to be readable without scripts and without a network.
"""

import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH_INCHES: Final = 9.0

# Colours are placeholders until the SVG is written: each becomes a variable of the page's style sheet, which
# has one value on light and one on dark paper.
INK: Final = "#a10001"
MUTED: Final = "#a10002"
GRID: Final = "#a10003"
CAUGHT: Final = "#a10004"
FALSE_ALERT: Final = "#a10005"
LIMIT: Final = "#a10006"
PAPER: Final = "#a10007"
MODELS: Final = tuple(f"#a1001{number}" for number in range(8))
"""Told apart by their markers as well: `MARKERS`."""
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")

_VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        INK: "--ink",
        MUTED: "--muted",
        GRID: "--grid",
        CAUGHT: "--caught",
        FALSE_ALERT: "--false-alert",
        LIMIT: "--limit",
        PAPER: "--paper",
        **{colour: f"--model-{number}" for number, colour in enumerate(MODELS)},
    }
)
_PLACEHOLDER: Final = re.compile("#a100[01][0-9]")
_FONT: Final = re.compile(r"font-family:[^;]*;?\s*")
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_RULES: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    # Identifiers must not differ from run to run.
    "svg.hashsalt": "fraudstream",
    # A model's name is a name, also when it has dollar signs in it.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "timezone": "UTC",
}


def styled() -> AbstractContextManager[None]:
    """Return the context that figures are made, filled and written in."""
    return rc_context(_RULES)


def new_figure(height_inches: float) -> Figure:
    """Return an empty figure as wide as the page; it needs no display and no global state."""
    return Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def put_legend(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """Explain the axes' marks above the figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(columns, max(1, len(labels))))


def as_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Write a figure as an SVG element for an HTML page.

    Parameters
    ----------
    figure
        Drawn with the colours above.
    name
        Put before its identifiers, so that figures do not meet in one page.
    title, description
        Read out in its place.

    Returns
    -------
    Markup
        Whatever stands in it has been escaped.
    """
    written = io.BytesIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(written.getvalue())  # noqa: S314 - Matplotlib's own output
    root.remove(root[0])  # metadata
    root.remove(root[0])  # a style sheet, for all of the page
    # Inside HTML an SVG needs no namespaces, and the page then names no address at all.
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        attributes = {key: _attribute(key, value, name) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({key.removeprefix(_HREF) or "href": v for key, v in attributes.items()})
    for key in ("width", "height", "version"):
        del root.attrib[key]
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-description"}
    texts = [ET.Element("title", id=f"{name}-title"), ET.Element("desc", id=f"{name}-description")]
    for element, text in zip(texts, (title, description), strict=True):
        element.text = text
    root[:0] = texts
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - see Returns


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == _HREF:
        return f"#{name}-{value.removeprefix('#')}"
    value = _REFERENCE.sub(rf"url(#{name}-\1)", value)
    if key == "style":
        value = _PLACEHOLDER.sub(lambda found: f"var({_VARIABLES[found[0]]})", _FONT.sub("", value))
    return value
