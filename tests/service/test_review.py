"""The review page in a Chromium: a day with keys only, two people at once, and what it looks like
to those who do not see it, or see it in the dark.
"""

import os
import shutil
import time

import pytest
from desk import Desk, Served, rows, saved
from playwright import sync_api as playwright
from poison import poisoned
from sqlalchemy import select

from unseen.service.review import showing, working
from unseen.service.store.tables import labels

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
ALERTS = (
    *rows(6, 5, {"bytes_out": 340000.0}),
    *rows(4, 6, {"seconds": 40.0}),
    *rows(8, 7, {"service": "telnet"}),
)
ANSWERS = {"bytes_out": ["d", "w", "drain"], "seconds": ["1"], "telnet": ["n"]}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("bundle"), "nearest")


@pytest.fixture
def served(bundle, tmp_path, monkeypatch):
    """A desk that answers, and whose pages ask often."""
    monkeypatch.setattr(showing, "EVERY", 0.3)
    monkeypatch.setattr(working, "EVERY", 0.3)
    desk = Desk(tmp_path / "home", bundle)
    desk.alerts(list(ALERTS))
    server = Served(desk)
    desk.address = f"{server.address}/review"
    yield desk
    server.close()
    desk.close()


class Seat:
    """Somebody before a window, with keys alone; what goes wrong in it is kept."""

    def __init__(self, chromium, desk, who, **how):
        self.desk, self.wrong = desk, []
        self.context = chromium.new_context(**how)
        self.page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(desk.address)
        playwright.expect(self.page.locator("#token")).to_be_focused()
        self.page.keyboard.type(desk.tokens[who])
        self.press("Enter")
        self.page.wait_for_url("**/review")

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _asked(self, request):
        if not request.url.startswith(self.desk.address):
            self.wrong.append(request.url)

    def press(self, *keys):
        for key in keys:
            if len(key) == 1 or key in ("Enter", "Escape", "Tab", "ArrowDown", "ArrowUp"):
                self.page.keyboard.press(key)
            else:
                self.page.keyboard.type(key)

    def go_to(self, text):
        """Tab until a link or button of this text has the focus, which is visible; then Enter."""
        for _ in range(60):
            self.press("Tab")
            found = self.page.evaluate(
                "[document.activeElement.textContent.trim(), "
                "getComputedStyle(document.activeElement).outlineStyle]"
            )
            if found[0].startswith(text):
                assert found[1] != "none"
                self.press("Enter")
                return
        raise AssertionError(f"no {text!r} among what Tab reaches")

    def told(self, text):
        """Wait for a message to the reader."""
        playwright.expect(self.page.locator("#told")).to_contain_text(text)

    def order(self):
        """The alerts of the queue, in their order."""
        return self.page.locator(".queue li a").evaluate_all(
            "found => found.map(each => each.getAttribute('href').match(/alert=(\\d+)/)[1])"
        )

    def fits(self):
        """Nothing is wider than the window, were it narrow or wide."""
        before, fit = self.page.viewport_size, []
        for width in (360, 1400):
            self.page.set_viewport_size({"width": width, "height": 900})
            fit.append(self.page.evaluate("document.documentElement.scrollWidth") <= width)
        self.page.set_viewport_size(before)
        return all(fit)

    def close(self):
        self.context.close()


def answer_all(seat):
    """Answer alerts by what their reasons say; of the last kind five of eight, the others wait."""
    page, calm = seat.page, 0
    for _ in range(30):
        first = page.locator(".beside tbody tr").first.inner_text()
        keys = next(keys for word, keys in ANSWERS.items() if word in first)
        number = page.locator("#answer input[name=alert]")
        before = number.input_value()
        if keys == ["n"] and calm == 5:
            if not page.locator("[data-key=j]").count():
                return
            seat.press("j")
        else:
            calm += keys == ["n"]
            seat.press(*keys, *(["Enter"] if "w" in keys else []))
            seat.told(f"Alert {before}")
        playwright.expect(number).not_to_have_value(before)
        playwright.expect(page.locator("#title")).to_be_focused()


LONG = pytest.mark.skipif("UNSEEN_LONG" not in os.environ, reason="long: make bench-service")


@pytest.mark.parametrize("width", [360, pytest.param(1400, marks=LONG)])
def test_a_day_with_keys_alone(chromium, served, width):
    served.service.begin()
    seat = Seat(chromium, served, "root", viewport={"width": width, "height": 900})
    page = seat.page
    seat.go_to("traffic")
    page.wait_for_selector("#title")
    before = seat.order()
    assert seat.fits()
    for key, place in (("j", 1), ("ArrowDown", 2), ("k", 1)):
        seat.press(key)
        looked = page.locator(".queue li").nth(place).locator("[aria-current]")
        playwright.expect(looked).to_have_count(1)
    playwright.expect(page.locator("#title")).to_be_focused()
    seat.press("?")
    playwright.expect(page.locator("#help")).to_be_visible()
    seat.press("n")  # answers nothing while the help is open
    seat.press("Escape", "u")
    seat.told("unsure")
    seat.press("z")
    seat.told("Undone")
    assert seat.order() == before
    answer_all(seat)
    assert seat.fits()
    waiting = seat.order()
    seat.go_to("Jobs and versions")
    page.wait_for_selector("#jobs")
    seat.go_to("Retrain, and let it serve")
    playwright.expect(page.locator("#jobs .jobs li").first).to_contain_text("done", timeout=90_000)
    playwright.expect(page.locator("#jobs")).to_contain_text("Version 2 serves")
    assert seat.fits()
    seat.go_to("What labels changed")
    page.wait_for_selector("table")
    assert "Of 5 that people called normal, 5 look more normal now" in page.inner_text("main")
    assert seat.fits()
    seat.go_to("Queue")
    page.wait_for_selector("#title")
    assert page.locator(".was").count() == len(waiting)  # p-values before and now
    texts = page.locator(".queue li a > span:last-child").all_inner_texts()
    later = [float(each.split()[1]) for each in texts]
    assert sorted(later)[1] > 0.01  # most of what is like them would raise no alarm any more
    assert seat.wrong == []
    seat.close()


def test_keys_that_come_before_the_alert_is_shown_answer_nothing(chromium, served):
    seat = Seat(chromium, served, "ann")
    seat.go_to("traffic")
    seat.page.wait_for_selector("#title")
    seat.page.route("**/answer", lambda route: (time.sleep(0.3), route.continue_()))
    seat.press("n", "w", "d", "n", "u")  # as one who names a new kind of an alert not seen yet
    seat.told("too early")
    playwright.expect(seat.page.locator(".queue li")).to_have_count(len(ALERTS) - 1)
    with served.store.reading() as connection:
        assert [row.answer for row in connection.execute(select(labels))] == ["normal"]
    seat.close()


def test_two_people_at_once_overwrite_nothing(chromium, served):
    ann, bob = (Seat(chromium, served, who) for who in ("ann", "bob"))
    for seat in (ann, bob):
        seat.go_to("traffic")
        seat.page.wait_for_selector("#title")
    number = ann.page.locator("#answer input[name=alert]").input_value()
    bob.press("w", "my kind")  # bob types, and what he sees stays as it was
    ann.press("n")
    ann.told(f"Alert {number}: normal.")
    bob.press("Enter")
    bob.told("Your answer was not saved")
    playwright.expect(bob.page.locator(".said")).to_contain_text("normal, by ann")
    with served.store.reading() as connection:
        assert [(row.by, row.answer) for row in connection.execute(select(labels))] == [
            ("ann", "normal")
        ]
    wrong = [text for text in bob.wrong if "409" not in text]
    ann.press("u")
    ann.told("unsure")
    left = len(ALERTS) - 2
    playwright.expect(bob.page.locator(".queue li")).to_have_count(left)  # without a reload
    assert ann.wrong == wrong == []
    ann.close()
    bob.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium, served, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    view = {"color_scheme": scheme, "viewport": {"width": 360, "height": 800}}
    seat = Seat(chromium, served, "root", **view)
    seat.go_to("traffic")
    seat.page.wait_for_selector("#title")
    seat.press("n")
    seat.told("normal")
    for page in ("", "/changes", "/trend", "/labels", "/jobs", "/../../sign-in"):
        seat.page.goto(f"{served.address}/models/traffic{page}")
        seat.page.wait_for_load_state()
        found = axe.run(seat.page).response
        assert len(found["passes"]) > 10
        grave = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
        assert grave == [], page
        assert seat.fits()
    assert seat.wrong == []
    seat.close()


def test_html_in_every_field_runs_nothing_in_a_browser(chromium, tmp_path):
    desk = poisoned(tmp_path / "evil")
    server = Served(desk)
    desk.address = f"{server.address}/review"
    seat = Seat(chromium, desk, "ann", viewport={"width": 360, "height": 800})
    for page in ("", "?alert=1", "?alert=3", "/changes", "/trend", "/labels", "/jobs"):
        seat.page.goto(f"{desk.address}/models/traffic{page}")
        assert seat.page.evaluate("window.pwned") is None
        assert seat.page.locator("main script, main svg *[onload], main img[src=x]").count() == 0
        assert seat.fits(), page
    seat.page.goto(f"{desk.address}/models/traffic?alert=1")
    seat.press("1")  # a known kind whose name is HTML
    seat.told("known kind")
    assert seat.page.evaluate("window.pwned") is None
    assert [text for text in seat.wrong if "404" not in text] == []
    seat.close()
    server.close()
    desk.close()


def test_without_script_the_basics_work(chromium, served):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.address)
    page.fill("#token", served.tokens["ann"])
    page.click("button")
    page.click("text=traffic")
    page.click("button[value=normal]")
    assert page.locator(".queue li").count() == len(ALERTS) - 1
    page.fill("#kind", "drain")
    page.press("#kind", "Enter")
    page.click("text=Undo")
    assert page.locator(".queue li").count() == len(ALERTS) - 1
    with served.store.reading() as connection:
        found = [
            (row.answer, row.kind, row.undone is None)
            for row in connection.execute(select(labels).order_by(labels.c.id))
        ]
    assert found == [("normal", None, True), ("new", "drain", False)]
    context.close()
