"""The site in a real browser: pages, search, the explorer by every hand, and axe's rules."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browser_tools import MARKS, severe_violations, watched_page
from site_pages import NAME, built_site
from source_tree import NOTEBOOKS

from mrcnn_lite.lessons.kit.roi_explorer import RoIExplorer
from mrcnn_lite.lessons.kit.roi_explorer.state import STATE

pytestmark = MARKS

EXPLORER = "roi_explorer"
REST = [pytest.param(path.stem, marks=pytest.mark.slow) for path in NOTEBOOKS]
PAGES = ["index", EXPLORER, "search", NAME, *REST]
LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("03_roi_align", "12_training")]
EXAMINED = ["index", EXPLORER, *LONG, NAME]
THEMES = ["light", "dark"]
PHONE = {"width": 320, "height": 640}
GRIP = ".body-handle .grip"

STATE_NOW = """names => {
    const store = document.querySelector('.explorer-place').explorer.store;
    return Object.fromEntries(names.map(name => [name, store.get(name)]));
}"""
TABLES = """() => [...document.querySelectorAll('.explorer-place table')].map(
    table => [...table.querySelectorAll('button')].map(cell => cell.textContent))"""
IN_SIGHT = """heading => {
    const bar = document.querySelector('.mobile-header').getBoundingClientRect().bottom;
    const top = document.querySelector(heading).getBoundingClientRect().top;
    return bar <= top && top < innerHeight / 2;
}"""
NEXT_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
NOT_REACHABLE = """() => [...document.querySelectorAll('article pre, article .picture')]
    .filter(node => node.checkVisibility() && node.scrollWidth > node.clientWidth)
    .filter(node => node.tabIndex < 0).length"""


class Quiet(SimpleHTTPRequestHandler):
    """Python's file server without its log."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def site():
    """The site behind a server on this machine; yields its address."""
    handler = partial(Quiet, directory=built_site())
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def open_page(browser, site, request):
    """A function that opens a page of the site with the browser's settings."""
    opened = []

    def open_page(name, address=site, **settings):
        opened.append(watched_page(browser, f"site-{request.node.name}", **settings))
        page = opened[-1].__enter__()
        page.goto(f"{address}/{name}.html")
        return page

    yield open_page
    for page in opened:
        page.__exit__(None, None, None)


def assert_numbers_are_ours(page) -> dict:
    """Both tables show what `mrcnn_lite.ops` gives for the explorer's state, which is returned."""
    page.evaluate(NEXT_FRAME)
    state = page.evaluate(STATE_NOW, [*STATE])
    wanted = [outputs.flatten().tolist() for outputs in RoIExplorer(**state).outputs()]
    shown = [[float(n.replace("−", "-")) for n in table] for table in page.evaluate(TABLES)]
    assert shown == [pytest.approx(numbers, abs=5.1e-5) for numbers in wanted]
    return state


def middle(page) -> tuple[float, float]:
    box = page.locator(GRIP).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_a_phone(name, open_page):
    page = open_page(name, viewport=PHONE)
    assert page.locator("article").count() == 1
    assert page.evaluate(SIDEWAYS) == 0
    page.wait_for_function(f"() => ({NOT_REACHABLE})() === 0", timeout=20_000)


def test_links_between_notebooks(open_page):
    """The heading stands below the page's own bar, once everything above has its height."""
    page = open_page(NAME, viewport=PHONE, reduced_motion="reduce")
    page.click("text=a place in it")
    page.wait_for_url("**/03_roi_align.html#agree")
    page.wait_for_function(IN_SIGHT, arg="#agree h2", timeout=20_000)


def test_search(open_page):
    page = open_page("index")
    page.fill(".sidebar-search", "bilinear")
    page.press(".sidebar-search", "Enter")
    page.wait_for_selector("ul.search li a[href*='03_roi_align']")


@pytest.mark.parametrize("name", [EXPLORER, NAME])
@pytest.mark.parametrize("theme", THEMES)
def test_by_keyboard(name, theme, open_page):
    page = open_page(name, color_scheme=theme)
    before = assert_numbers_are_ours(page)
    handle = page.locator(".body-handle[tabindex]").first
    handle.focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    after = assert_numbers_are_ours(page)
    stride = before["stride"]
    moved = [a - b for a, b in zip(after["box"], before["box"])]
    assert moved == [stride / 32 + stride, stride / 32] * 2


@pytest.mark.parametrize("theme", THEMES)
def test_by_pointer(theme, open_page):
    page = open_page(EXPLORER, color_scheme=theme)
    before = assert_numbers_are_ours(page)
    window = page.locator(".window.pool").bounding_box()
    assert window["width"] > 100, "RoIPool's window is drawn"
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 45, steps=6)
    page.mouse.up()
    after = assert_numbers_are_ours(page)
    assert after["box"][0] > before["box"][0] and after["box"][1] > before["box"][1]
    page.get_by_label("sampling ratio").fill("3")
    page.get_by_label("aligned").check()
    assert assert_numbers_are_ours(page)["sampling_ratio"] == 3


def test_by_touch(open_page):
    page = open_page(EXPLORER, viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator(GRIP).first.scroll_into_view_if_needed()
    before, (x, y) = assert_numbers_are_ours(page), middle(page)
    touch = page.context.new_cdp_session(page)
    for kind, step in (("Start", 0), ("Move", 8), ("Move", 16), ("Move", 24), ("End", None)):
        points = [] if step is None else [{"x": x + step, "y": y + step}]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        page.evaluate(NEXT_FRAME)
    after = assert_numbers_are_ours(page)
    assert all(a > b for a, b in zip(after["box"], before["box"]))


def test_from_the_disk(open_page):
    """Opened as a file, without any server."""
    page = open_page(EXPLORER, address=built_site().as_uri())
    assert_numbers_are_ours(page)


def test_without_javascript(open_page):
    page = open_page(NAME, java_script_enabled=False)
    assert page.locator("noscript img").first.is_visible()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", EXAMINED)
def test_accessibility(name, theme, open_page):
    page = open_page(name, color_scheme=theme)
    page.evaluate(NEXT_FRAME)
    assert severe_violations(page) == []


FILES = pytest.mark.parametrize("kind", ["http", "file"])


@FILES
def test_questions_answer_and_are_remembered(kind, open_page, site):
    """By keyboard alone: predicted, compared, kept over a reload, forgotten."""
    page = open_page(NAME, address=site if kind == "http" else built_site().as_uri())
    asks, below = page.locator('[data-name="99-cells"]'), page.locator("#answer-99-cells")
    told = asks.locator("[role=status]")
    assert not asks.locator("details p").is_visible() and not below.is_visible()
    asks.get_by_label("4", exact=True).focus()
    page.keyboard.press("Space")
    asks.get_by_label("guess").check()
    assert told.inner_text() == "You predicted: 4 (guess)."
    asks.locator("summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("node => node.textContent.includes('differ')", arg=told.element_handle())
    assert "The result: 9" in asks.locator("details p").inner_text()
    assert below.text_content().endswith("guess)\nThe result: 9\nThey differ.")
    asks = page.locator('[data-name="99-why"]')
    assert not asks.locator("details p").is_visible()
    asks.get_by_label("Your reason").fill("<b>because</b>")
    asks.get_by_label("Your reason").blur()
    page.reload()
    assert page.locator('[data-name="99-cells"]').get_by_label("4", exact=True).is_checked()
    assert page.get_by_label("Your reason").input_value() == "<b>because</b>"
    line = page.locator(".reader-record")
    assert "keeps 2 answers" in line.inner_text() and "guess: 0 of 1" in line.inner_text()
    page.on("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        line.get_by_role("button").click()
    assert page.locator(".reader-record button").is_disabled()
    assert not page.get_by_label("Your reason").input_value()


def test_a_wrong_number_gets_the_named_message(open_page):
    """On a phone, by touch: the middle that is missed by half an element; then right numbers."""
    page = open_page(NAME, viewport=PHONE, has_touch=True, is_mobile=True)
    form = page.locator('form[data-name="02-sample"].by-hand')
    right, wrong = checks_of(form)
    numbers = form.get_by_role("textbox")
    numbers.nth(0).fill(f"{wrong['numbers'][0][0]:g}")
    form.get_by_role("button", name="Check").tap()
    said = form.get_by_role("status").inner_text()
    assert wrong["message"] in said and "0 of 4 numbers are right, 3 to go" in said
    assert numbers.nth(0).get_attribute("aria-invalid") == "true"
    for number, field in zip(right, numbers.all()):
        field.fill(f"{number[0]:g}")
    form.get_by_role("button", name="Check").tap()
    assert form.get_by_role("status").inner_text().startswith("Right: all 4 numbers")
    assert page.evaluate(SIDEWAYS) == 0


def checks_of(form) -> tuple[list, dict]:
    """The right numbers of a form's cases, and a mistake that shows in the first of them."""
    checks = json.loads(form.get_attribute("data-checks"))
    return checks["right"], checks["mistakes"][0]


def test_lines_are_put_in_order(open_page):
    page = open_page(NAME)
    page.get_by_text("in disorder").click()
    form = page.locator("form.lines")
    checks = json.loads(form.get_attribute("data-checks"))
    for line in [checks["right"][1], checks["right"][0], *checks["right"][2:]]:
        form.locator(".pool button").nth(checks["lines"].index(line)).click()
    check, told = form.get_by_role("button", name="Check"), form.get_by_role("status")
    check.click()
    assert "0 of" in told.inner_text() and "can be right too" in told.inner_text()
    form.get_by_role("button", name="Move up").nth(1).press("Enter")
    assert page.evaluate("() => document.activeElement.textContent") == "↑"
    check.click()
    assert told.inner_text() == "These are the solution's lines, in its order."
