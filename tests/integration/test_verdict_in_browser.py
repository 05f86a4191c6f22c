"""A verdict from a real browser to the models: Chromium, the desk, PostgreSQL, Kafka's wire, the learner."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from consumers.desk.users import new_user
from stream.records import Label
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.postgres_server import rows
from tests.services.process import Process, free_port
from tests.services.topic_reader import read_topic
from tests.services.traffic import transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

WHY = "The customer was called and has not paid this."
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 400, "height": 800}

# Contrast by WCAG 2: the least of every text on the page, against what lies behind it.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = colour => { const [r, g, b] = rgb(colour).map(part => { const share = part / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = element => { for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor; if (rgb(colour)[3] === 255) return colour; }
    return 'white'; };
  const texts = [...document.querySelectorAll('body *')].filter(element => !element.closest('svg') &&
    [...element.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
  return texts.map(element => { const a = light(getComputedStyle(element).color), b = light(behind(element));
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)]; })
    .sort((one, other) => one[0] - other[0])[0];
}"""
SPILLED = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
FIRST_STOP = "() => document.querySelector('a, button, input, textarea').textContent"
UNNAMED = """() => [...document.querySelectorAll('input:not([type=hidden], [hidden]), textarea, button')]
  .filter(field => !field.labels?.length && !field.textContent.trim()).map(field => field.outerHTML)"""

Start = Callable[..., Worker]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Browsers of Playwright's own would have to be downloaded.
        launched = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        yield launched
        launched.close()


@pytest.mark.service("chromium")
def test_what_an_analyst_says_in_the_browser_is_learnt(
    embedded_broker: str,
    redis_url: str,
    case_store: str,
    worker: Start,
    command: Callable[..., Process],
    browser: Browser,
) -> None:
    token, entry = new_user("ana", "analyst")
    settings = Settings(
        broker=embedded_broker,
        redis=redis_url,
        case_store=case_store,  # type: ignore[arg-type]
        desk_users=entry,  # type: ignore[arg-type]
        desk_port=free_port(),
        # Every transaction is an alert; `feedback` learns from analysts alone.
        decision="threshold",
        alert_threshold=1e-9,
        challengers=("feedback",),
    )
    scored = transactions(30)
    with Pipeline(settings) as pipeline:
        pipeline_worker = worker(settings, "all")
        cases = command(settings, "cases")
        pipeline.publish(scored)
        eventually(lambda: _open(case_store) == len(scored), describe=cases.tail)
        desk = command(settings, "desk")
        desk.await_ready(lambda: "desk: http://" in desk.tail())

        # A context without scripts: nothing may depend on them.
        page = browser.new_context(viewport=WIDE, java_script_enabled=False).new_page()
        page.goto(f"http://127.0.0.1:{settings.desk_port}/")
        page.get_by_label("Your token").fill(token)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Open alerts")).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(len(scored))
        first = page.locator("tbody th a").first
        judged = first.inner_text()
        first.click()
        page.get_by_label("What tells you so?").fill(WHY)
        page.get_by_role("button", name="It is fraud").click()
        expect(page.get_by_role("status")).to_contain_text("Written down as fraud, by you.")
        expect(page.get_by_text(f"by ana: {WHY}")).to_be_visible()

        [record] = read_topic(embedded_broker, pipeline.topics.labels, until=1)
        label = msgspec.json.decode(record.value or b"", type=Label)
        assert record.key == judged.encode()
        assert (label.transaction_id, label.is_fraud, label.source) == (judged, True, "analyst")
        eventually(
            lambda: pipeline_worker.metric("fraud_learned_total", model="feedback-1") == 1,
            describe="the learner of feedback has seen it",
        )
        assert pipeline_worker.metric("fraud_labels_total", outcome="joined") == 1
        assert rows(case_store, "SELECT transaction_id, who, why, via FROM verdicts") == [
            (judged, "ana", WHY, "desk")
        ]

        page.get_by_role("link", name="Next open alert").click()
        expect(page.get_by_role("heading", name="What was it?")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="What was it?")).not_to_be_visible()
        page.context.close()
        _looks_right(browser, f"http://127.0.0.1:{settings.desk_port}", token, judged)


def _open(case_store: str) -> int:
    if rows(case_store, "SELECT to_regclass('open_alerts') IS NULL")[0][0]:
        return 0
    return int(rows(case_store, "SELECT count(*) FROM open_alerts")[0][0])


def _looks_right(browser: Browser, url: str, token: str, judged: str) -> None:
    """Light and dark, on a desk and in a hand: readable, within the width, every field with a name."""
    for scheme, viewport in (("light", WIDE), ("dark", NARROW)):
        page = browser.new_context(color_scheme=scheme, viewport=viewport).new_page()  # type: ignore[arg-type]
        loaded: list[str] = []
        page.on("request", lambda request, loaded=loaded: loaded.append(request.url))
        complaints: list[str] = []
        page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
        page.goto(url)
        _readable(page)
        page.get_by_label("Your token").fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Open alerts")).to_be_visible()
        for path in ("/alerts", "/alerts/judged", f"/case?transaction={judged}", "/case?transaction=nowhere"):
            page.goto(url + path)
            _readable(page)
        # Whoever goes by the keyboard comes to it first, and sees it then.
        assert page.evaluate(FIRST_STOP) == "To the content"
        page.get_by_text("To the content").focus()
        expect(page.get_by_text("To the content")).to_be_in_viewport()
        assert all(one.startswith(url) for one in loaded)
        # Chromium says so when the content security policy stops something.
        assert [text for text in complaints if "404" not in text] == []
        page.context.close()


def _readable(page: Page) -> None:
    contrast, where = page.evaluate(CONTRAST)
    assert contrast >= 4.5, (page.url, contrast, where)
    assert page.evaluate(SPILLED) <= 0, page.url
    assert page.evaluate(UNNAMED) == []
    expect(page.locator("h1")).to_have_count(1)
