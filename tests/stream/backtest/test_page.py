"""The report's page: whole, escaped, self-contained, and readable where there is little to show."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from stream.backtest.answers import Answers
from stream.backtest.report.baselines import START
from stream.backtest.report.collector import Collector
from stream.backtest.report.findings import Findings, find
from stream.backtest.report.page import Run, render
from stream.backtest.run import BacktestSummary
from stream.backtest.tally import Tally
from stream.clock import DAY_MS
from stream.features.catalogue import WIDTH
from stream.models.linear import Linear
from stream.pipeline.scoring import Served
from stream.records import ModelEvent, ModelEventKind
from stream.settings import Settings
from tests.stream.backtest.made import START_MS, answers, month

HOSTILE = "<script>alert('$x_1$')</script>\"&amp;"
SECTIONS = ("weekly-ap", "weekly-cp", "reliability", "alerts", "timeline", "importances")
VOID = {"meta", "br"}


class Page(HTMLParser):
    """A page taken apart; fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        """Everything that can be read, with single spaces."""
        return " ".join(" ".join(self.text).split())


def event(kind: ModelEventKind, version: str, day: int, detail: str = "") -> ModelEvent:
    time = START_MS + day * DAY_MS
    return ModelEvent(
        kind=kind,
        model_version=version,
        detail=detail or f"what {kind} means",
        evidence={},
        label_offset=1,
        event_time=time,
        recorded_at=time,
    )


def findings(*batches: Answers) -> Findings:
    collector, tally = Collector(seed=1), Tally()
    for batch in batches:
        collector.add(batch)
        tally.add(batch)
    model = Linear(np.zeros(WIDTH), np.ones(WIDTH), np.linspace(0, 1, WIDTH), 0.0)
    return find(
        collector, tally, [Served(name, 3, model) for name in (batches[-1].models if batches else ())]
    )


def run(**parts: Any) -> Run:
    given = {
        "file_name": "in.parquet",
        "settings": Settings(),
        "label_delay": timedelta(days=7),
        "label_cadence": timedelta(hours=1),
        "limit": None,
        "summary": BacktestSummary(champion_version="a-1", swaps=2),
        "events": (),
    }
    return Run(**(given | parts))


@pytest.fixture(scope="module")
def eventful() -> str:
    """Render a report with everything in it, some of it hostile."""
    models = ("a-1", HOSTILE)
    kinds = (
        "born",
        "drift",
        "gate_passed",
        "gate_refused",
        "swap",
        "rollback",
        "confirmed",
        "signal",
        "retired",
    )
    events = [event(kind, HOSTILE, day, f"{kind} of {HOSTILE}") for day, kind in enumerate(kinds)]
    events.append(event("born", "never-scored-1", 9))
    batches = [
        month(models, days=14),
        month(models[::-1], start_ms=START_MS + 14 * DAY_MS, days=14),
    ]
    summary = BacktestSummary(champion_version=HOSTILE, swaps=1)
    return render(
        findings(*batches),
        run(file_name=f"{HOSTILE}.csv", summary=summary, events=events, alert_budget=2.0),
    )


def test_every_section_has_its_chart_and_its_numbers(eventful: str) -> None:
    page = Page(eventful)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {*SECTIONS, "published", "models", "settings", "words"} <= set(ids)
    assert sum(tag == "svg" for tag, _ in page.tags) == len(SECTIONS)
    assert sum(tag == "figcaption" for tag, _ in page.tags) == len(SECTIONS)
    assert sum(tag == "details" for tag, _ in page.tags) == len(SECTIONS)


def test_a_chart_has_a_title_and_a_description_to_be_read_out(eventful: str) -> None:
    page = Page(eventful)
    ids = {attributes.get("id") for _, attributes in page.tags}
    for _, attributes in (pair for pair in page.tags if pair[0] == "svg"):
        assert attributes["role"] == "img"
        assert set(str(attributes["aria-labelledby"]).split()) <= ids
    assert re.search(r'<desc id="reliability-description">Expected calibration error 0\.\d{4}, ', eventful)


@pytest.mark.parametrize(
    "words",
    [
        *(
            "Average precision (0 to 1)",
            "Card precision@100 (0 to 1)",
            "Event time (UTC), 2025-01-01 to 2025-01-28",
        ),
        *(
            "Share of frauds that followed",
            "Mean score (probability of fraud)",
            "served score, with 95 % interval",
        ),
        *("Transactions a day", "alerts that were frauds", "false alerts", "budget, 2 a day", "served by"),
        *("drift", "swap", "rollback", "birth", "retirement", "gate passed", "refusal", "Model version"),
        *("probation passed", "signal"),
        *("Mean absolute contribution (log-odds)", "Feature"),
    ],
)
def test_axes_and_marks_are_named(eventful: str, words: str) -> None:
    assert words in {text.strip() for text in Page(eventful).text}


def test_what_comes_from_outside_is_text_and_never_markup(eventful: str) -> None:
    page = Page(eventful)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not {name for _, attributes in page.tags for name in attributes if name.startswith("on")}
    assert f"Backtest of {HOSTILE}.csv" in page.words
    assert f"swap of {HOSTILE}" in page.words
    assert page.text.count(HOSTILE) > 5  # in tables, legends and the time line, as it is


def test_the_page_loads_nothing(eventful: str) -> None:
    page = Page(eventful)
    assert not {tag for tag, _ in page.tags} & {"link", "img", "image", "iframe", "object", "embed", "base"}
    links = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in {"href", "src"}
    ]
    assert links
    assert all(str(value).startswith("#") for value in links)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", eventful)
    assert "default-src 'none'" in eventful


def test_references_within_the_page_lead_somewhere(eventful: str) -> None:
    page = Page(eventful)
    ids = {attributes.get("id") for _, attributes in page.tags}
    wanted = set(re.findall(r"url\(#([^)]+)\)", eventful))
    wanted |= {str(a["href"])[1:] for _, a in page.tags if "href" in a}
    assert wanted
    assert wanted <= ids


def test_every_colour_has_a_light_and_a_dark_value(eventful: str) -> None:
    style = eventful[eventful.index("<style>") : eventful.index("</style>")]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for variable in set(re.findall(r"var\((--[a-z0-9-]+)\)", eventful)):
        assert f"{variable}: #" in light, variable
        assert f"{variable}: #" in dark, variable
    # No colour of a chart's own: neither Matplotlib's black nor a placeholder that nobody replaced.
    charts = "".join(re.findall(r"<svg.*?</svg>", eventful, re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b(?![0-9a-f])", charts)) == set()


def test_it_begins_with_what_a_first_reader_wants_to_know() -> None:
    given = findings(month())
    total = given.tally.total
    words = Page(render(given, run())).words
    assert f"Of {total.frauds:,} known frauds, {total.caught:,} were alerts: " in words
    assert f"look at {total.judged_alerts / total.caught:.1f}".removesuffix(".0") in words
    assert words.index("known frauds") < words.index("Brier score") < words.index("published: ")


def test_the_same_findings_make_the_same_page() -> None:
    pages = {render(findings(month()), run()) for _ in range(2)}
    assert len(pages) == 1


def test_settings_are_shown_and_secrets_are_not() -> None:
    settings = Settings(
        alert_threshold=0.25, redis="redis://me:hidden@r/0", signing_key=SecretStr("also-hidden-of-16")
    )
    html = render(findings(month()), run(settings=settings))
    words = Page(html).words
    assert "FRAUD_ALERT_THRESHOLD 0.25 (set)" in words
    assert "FRAUD_CHAMPION ensemble The recipe" in words
    assert "hidden" not in html
    assert "**" not in html


def test_ours_is_said_to_be_missing_where_the_recording_is_of_other_weeks() -> None:
    words = Page(render(findings(month()), run())).words
    assert "published: random forest 0.678 0.658 0.867 0.287" in words
    assert "this run, as it was served \N{EN DASH} \N{EN DASH}" in words
    assert "does not cover the Handbook's first test week" in words


def test_ours_stands_in_the_table_where_the_weeks_are_covered() -> None:
    start = round(START.timestamp() * 1000) - 14 * DAY_MS
    given = findings(month(start_ms=start, days=21))
    words = Page(render(given, run(label_delay=timedelta(days=3)))).words
    first = given.comparison.weeks[0]
    ours = f"{first.average_precision:.3f} {first.auc:.3f} {first.card_precision:.3f}"
    assert f"this run, as it was served \N{EN DASH} {ours}" in words
    assert "labels 7 days late, this run on ones 3 days late" in words


def test_without_a_budget_there_is_no_line_for_one() -> None:
    html = render(findings(month()), run())
    assert "no budget was set" in html
    assert "budget, " not in html


def test_a_threshold_that_moves_is_drawn() -> None:
    rows = [(n / 2, n % 3 == 0, (0.7,)) for n in range(20)]
    moving = [answers([*rows]), answers([*rows], start_ms=START_MS + 10 * DAY_MS, threshold=0.6)]
    assert "Threshold" in re.findall(r"<text[^>]*>([^<]*)</text>", render(findings(*moving), run()))
    steady = [answers([*rows]), answers([*rows], start_ms=START_MS + 10 * DAY_MS)]
    assert "Threshold" not in re.findall(r"<text[^>]*>([^<]*)</text>", render(findings(*steady), run()))


@pytest.mark.parametrize(
    ("batches", "missing"),
    [
        ([], {"weekly-ap", "weekly-cp", "reliability", "alerts", "timeline", "importances"}),
        ([answers([(0, None, (0.4,))])], {"weekly-ap", "weekly-cp", "reliability"}),
        ([answers([(0, True, (0.4,)), (1, False, (0.4,))])], {"weekly-ap", "weekly-cp"}),
        ([answers([(n, False, (0.1,)) for n in range(10)])], {"weekly-ap", "weekly-cp"}),
    ],
    ids=["nothing", "no truth", "two days", "no frauds"],
)
def test_what_cannot_be_shown_is_said(batches: list[Answers], missing: set[str]) -> None:
    html = render(findings(*batches), run())
    for name in SECTIONS:
        part = html[html.index(f'<section id="{name}">') :]
        part = part[: part.index("</section>")]
        assert ("<svg" in part) == (name not in missing), name
        assert (re.search(r"\.</p>\s*$", part) is not None) == (name in missing), name
    assert "nan" not in Page(html).words.split()


def test_more_models_than_colours_are_all_drawn() -> None:
    models = tuple(f"a-{n}" for n in range(12))
    html = render(findings(month(models, days=7)), run())
    assert {f"a-{n}" for n in range(12)} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", html))
