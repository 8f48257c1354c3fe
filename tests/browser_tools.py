"""A real browser for the tests: Chromium, and pages that notice errors and outside requests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from source_tree import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120  # seconds for a start on a loaded machine
PICTURES = ROOT / "build" / "browser"  # of every page as it was last seen
LOCAL = ("http://127.0.0.1:", "http://localhost:", "blob:", "data:", "file:")

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="browser: Chromium is not installed"),
]


@contextmanager
def launched() -> Iterator[Any]:
    """Chromium, as Debian packages it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS]) as chromium:
            yield chromium


@contextmanager
def watched_page(browser: Any, picture: str, **settings: Any) -> Iterator[Any]:
    """A page that fails its test on errors and on requests to other machines."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    errors, outside = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(LOCAL) else outside.append(request.url),
    )
    yield page
    page.screenshot(path=PICTURES / f"{picture}.png")
    context.close()
    assert not errors
    assert not outside
