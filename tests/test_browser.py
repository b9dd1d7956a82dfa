"""The page of a search in a real browser, without a network: it draws, complains of nothing, and
can be used.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnas.analysis.recommend import recommend
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.show import page
from tests.browser import Page, chromium
from tests.test_search import config

pytestmark = pytest.mark.skipif(
    not shutil.which("chromium") and not os.environ.get("CI_BROWSER"),
    reason="needs chromium: apt-get install chromium",
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    proxy = {"name": "tests.stand_in:Timed"}
    return search(config(trials=30, proxy=proxy), tmp_path_factory.mktemp("browser") / "run")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def opened(browser: Page, log: Log, tmp_path: Path) -> Page:
    """The page, opened anew, at the size of a desktop."""
    browser.events.clear()
    page.write(log, tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    return browser


def test_every_chart_is_drawn_and_nothing_is_complained_of_nor_asked_for(opened: Page) -> None:
    empty = (
        "[...document.querySelectorAll('[data-chart]')].filter(c => !c.querySelector('svg')).length"
    )
    assert opened.run("document.querySelectorAll('[data-chart]').length") == 5
    assert opened.run(empty) == 0
    assert opened.complaints() == []
    assert [url.partition(":")[0] for url in opened.requested()] == ["file"]


def test_a_click_on_a_point_of_the_scatter_opens_its_trial(opened: Page, log: Log) -> None:
    (best,) = recommend(log)
    opened.click("circle.winner")
    assert opened.run("location.hash") == f"#trial-{best.row.trial}"
    opened.until(
        f"document.getElementById('details-title').textContent == 'Trial {best.row.trial}'"
    )
    assert f"{100 * best.row.accuracy:.2f}\N{NO-BREAK SPACE}%" in opened.run(
        "document.getElementById('details').textContent"
    )


def test_the_keyboard_opens_a_trial_and_closes_it(opened: Page) -> None:
    opened.run("document.querySelector('[data-chart=scatter] svg').focus()")
    opened.press("ArrowRight")
    assert opened.run("document.querySelector('.tip').textContent").startswith("trial ")
    opened.press("Enter")
    opened.until("!document.getElementById('details').hidden")
    opened.press("Escape")
    opened.until("document.getElementById('details').hidden")
    assert opened.run("document.activeElement.closest('[data-chart]').dataset.chart") == "scatter"


def test_an_address_of_a_trial_opens_it(opened: Page) -> None:
    opened.run("location.hash = 'trial-7'")
    opened.until("document.getElementById('details-title').textContent == 'Trial 7'")
    opened.run("location.hash = 'trial-4000'")
    opened.until(
        "document.getElementById('details').textContent.includes('There is none: 30 were asked')"
    )


def test_the_theme_is_the_systems_until_the_button_says_another(opened: Page) -> None:
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = opened.run(paper)
    opened.click("#theme")
    assert opened.run(paper) != light
    opened.click("#theme")
    assert opened.run(paper) == light


def test_a_phone_scrolls_down_and_never_sideways(opened: Page, tmp_path: Path) -> None:
    opened.open(tmp_path / "report.html", width=375, height=700)
    assert opened.run("document.documentElement.scrollWidth") == 375


def test_time_instead_of_trials_is_drawn_when_asked(opened: Page) -> None:
    opened.click("input[value=seconds]")
    assert "seconds of search" in opened.run(
        "document.querySelector('[data-chart=progress]').textContent"
    )


def test_what_a_stranger_wrote_runs_nothing(browser: Page, log: Log, tmp_path: Path) -> None:
    html = page.html(log).replace(
        "<main>", "<main><script>document.title = 'run'</script><img src=x onerror='x()'>"
    )
    (tmp_path / "broken.html").write_text(html)
    browser.open(tmp_path / "broken.html")
    assert browser.run("document.title").endswith("a network search")
