"""Pages in a real browser: Chromium without a window, driven by Playwright; where either is missing, tests are skipped.
A conftest imports the fixtures: from tests.browser import chromium, visit

Playwright keeps an event loop running in its thread, in which `asyncio.run`, and so Orbax, refuses to work. So a
browser lives as long as one module's tests, which is why these run no training that writes checkpoints.
"""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""What Debian, Ubuntu and Google call it."""

OF_THE_PAGE = ("blob:", "data:", "about:")
"""Requests that nothing outside of the page answers."""


@pytest.fixture(scope="module")
def chromium():
    """A browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install .[test]")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """visit(path, width=1280, height=900, dark=False, script="", …) -> the file at `path`, opened offline.

    script: runs before the page's own. Further settings are those of Playwright's `new_context`. Wherever a test goes,
    its pages have to have told of no error or warning and asked for nothing outside of themselves.
    """
    contexts, told, asked = [], [], []

    def open_page(path, *, width=1280, height=900, dark=False, script="", **settings):
        settings |= {"viewport": {"width": width, "height": height}, "color_scheme": "dark" if dark else "light"}
        context = chromium.new_context(offline=True, **settings)
        contexts.append(context)
        context.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: told.append(f"{error.error}"))
        context.on("request", lambda request: asked.append(request.url))
        context.add_init_script(script)
        context.set_default_timeout(120_000)  # milliseconds; a busy machine is no fault of the page
        page = context.new_page()
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    away = [url for url in asked if not url.startswith((*OF_THE_PAGE, "file:"))]
    files = {url for url in asked if url.startswith("file:")}
    assert told == [], "the page complained"
    assert away == [], "the page asked for something outside of itself"
    assert len(files) <= len(contexts), "the page asked for another file"


def wait_until(page, expression: str) -> None:
    """Playwright's own `wait_for_function` is refused by a page that allows no eval."""
    page.evaluate(f"async () => {{ while (!({expression})) await new Promise((go) => setTimeout(go, 10)); }}")


def serious_findings(page) -> list[str]:
    """What axe-core (https://github.com/dequelabs/axe-core) finds on the page that keeps somebody from using it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install .[test]")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:120]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
