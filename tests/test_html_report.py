"""The page of a search: what it says, and that a stranger's journal can't make it do
anything else.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.analysis.recommend import recommend
from mnas.config import Config
from mnas.engine import coefficients
from mnas.engine.loop import search
from mnas.journal.log import Log
from mnas.journal.reader import read
from mnas.journal.records import Ask, Confirmed, Outcome, Record, Resumed, Retry, Session
from mnas.journal.writer import Journal
from mnas.show import page
from mnas.show.page import series, timeline
from mnas.show.page.stages import drawn
from runners import Failure
from search_space import InputError
from search_space.cost import cost
from search_space.mnasnet import tiny
from search_space.zoo import ZOO, zoo
from tests.test_cli import mnas
from tests.test_journal import CONFIG, SPACE
from tests.test_search import config

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    marks = tmp_path_factory.mktemp("marks") / "marks"
    faulty = {"name": "tests.stand_in:Faulty", "how": "diverged", "marks": str(marks)}
    return search(config(trials=30, proxy=faulty), tmp_path_factory.mktemp("page") / "run")


def written(path: Path, *records: Record) -> Log:
    with Journal.create(path, CONFIG, SPACE) as journal:
        for record in records:
            journal.append(record)
    return journal.log


def ask(trial: int, time: float = 0.0) -> Ask:
    architecture = SPACE.decode(genotype := (0,) * len(SPACE.decisions))
    price = cost(architecture)
    digest = architecture.digest
    return Ask(
        trial=trial,
        genotype=genotype,
        digest=digest,
        macs=price.macs,
        params=price.params,
        time=time,
    )


class Elements(HTMLParser):
    """Collects a page's elements with their attributes, and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts.append(data)


def data(html: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Elements(html).scripts[0])
    return found


def text(html: str) -> str:
    return " ".join(
        re.sub(r"<[^>]*>", " ", html.partition("</style>")[2].partition("<script")[0]).split()
    )


def test_the_page_says_question_answer_and_where_it_comes_from(log: Log) -> None:
    said = text(page.html(log))
    (best,) = recommend(log)
    assert "reward = accuracy · (MACs / 3M) −0.07" in said
    assert f"{100 * best.row.accuracy:.2f} % accuracy with" in said
    assert f"Trial {best.row.trial} is recommended" in said
    assert f"a reward of {best.expected:.4f} ± {best.spread:.4f}" in said
    assert "30 trials; 30 done" in said
    assert f"configuration {log.header.config_digest}" in said
    assert f"mnas export {log.run} -o b0.json" in said
    assert "diverged 1 0 trial 1 : DivergenceError: loss is nan in epoch 1" in said
    assert "B7 2 3.1 75 " in said


def test_the_data_are_the_journals(log: Log) -> None:
    held = data(page.html(log))
    for trial, outcome in log.outcomes.items():
        failed = outcome.failure is not None
        assert held["accuracy"][trial] == (
            None if failed else pytest.approx(outcome.accuracy, abs=1e-5)
        )
        assert held["reward_of"][trial] == (
            None if failed else pytest.approx(outcome.reward, abs=1e-5)
        )
        assert held["cost"][trial] == log.asks[trial].macs
        assert held["details"][str(trial)]["genotype"] == list(log.asks[trial].genotype)
    assert held["failed"] == {"1": "diverged"}


def test_the_same_journal_is_the_same_page(log: Log, tmp_path: Path) -> None:
    page.write(log, tmp_path / "a.html")
    page.write(read(log.run), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_page_asks_for_nothing_from_anywhere(log: Log) -> None:
    html = page.html(log)
    for tag, attributes in Elements(html).elements:
        assert tag not in ("link", "img", "iframe", "object", "form", "base"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "style", "srcset"), (tag, name)
            assert name != "href" or (value or "").startswith("#"), value
    policy = next(
        a["content"] for t, a in Elements(html).elements if t == "meta" and "http-equiv" in a
    )
    assert (policy or "").startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(
        r"@import|url\(\s*[^#)]|\bfetch\(|XMLHttpRequest|\bimport\(",
        html.replace("url(#${clip})", ""),
    )


def test_a_strangers_journal_cannot_write_into_the_page(tmp_path: Path) -> None:
    tables = CONFIG.tables | {"controller": {"name": HOSTILE}, "proxy": {"data": HOSTILE}}
    session = Session(host=HOSTILE, versions={HOSTILE: HOSTILE})
    with Journal.create(tmp_path / "<script>x", Config(tables), SPACE) as journal:
        journal.append(ask(0))
        journal.append(
            Retry(
                trial=0, failure=Failure("machine", HOSTILE), worker=HOSTILE, seconds=1.0, time=2.0
            )
        )
        failed = Failure("raised", HOSTILE)
        journal.append(
            Outcome(trial=0, accuracy=0, reward=0, failure=failed, worker=HOSTILE, seconds=2.0)
        )
        journal.append(Resumed(session=session))
    html = page.html(read(tmp_path / "<script>x"))
    found = Elements(html)
    assert len([tag for tag, _ in found.elements if tag == "script"]) == 2
    assert not [tag for tag, _ in found.elements if tag == "img"]
    assert HOSTILE not in html
    assert data(html)["details"]["0"]["failure"] == f"raised: {HOSTILE}"


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner), max_leaves=5)
)
def test_embedded_data_read_back_and_end_no_element(held: object) -> None:
    embedded = page.embedded(held)
    assert json.loads(embedded) == held
    assert "<" not in embedded


def test_nothing_done_yet_is_one_line(tmp_path: Path) -> None:
    written(tmp_path / "run", ask(0))
    done = mnas("report", tmp_path / "run", "-o", tmp_path / "x.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"mnas: {tmp_path / 'run'}: no trial is done yet; there is nothing to report\n"
    )
    assert not (tmp_path / "x.html").exists()


def test_a_coefficient_search_is_refused_in_one_line(tmp_path: Path) -> None:
    grid = Config(
        {
            "space": {"step": 0.25},
            "proxy": {"name": "tests.stand_in:Arithmetic"},
            "runner": {"workers": 0},
        }
    )
    log = search(coefficients.plan(grid, tiny().template), tmp_path / "run")
    with pytest.raises(
        InputError, match=r"a coefficient search, which the page can't show; mnas inspect .* does"
    ):
        page.html(log)


def test_a_search_of_failures_alone_has_a_page(tmp_path: Path) -> None:
    failed = Outcome(
        trial=0, accuracy=0, reward=0, failure=Failure("raised", "why"), seconds=1.0, time=1.0
    )
    said = text(page.html(written(tmp_path / "run", ask(0), failed)))
    assert "No network was found: every trial failed" in said
    assert "trial 0 : why" in said
    assert "Go on" not in said


def test_an_unfinished_search_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    log = written(tmp_path / "run", ask(0), ask(1), Outcome(trial=0, accuracy=0.5, reward=0.5))
    said = text(page.html(log))
    assert (
        "The search was not finished when this page was made: "
        "1 of 3 trials were done, and 1 more asked for" in said
    )
    assert f"mnas resume {tmp_path / 'run'} " in said
    assert "Of so few trials no more can be said" in said
    assert not data(page.html(log))["advised"]  # so its script calls nothing recommended


def test_an_absolute_reward_of_parameters_is_written_out(tmp_path: Path) -> None:
    reward = {"kind": "absolute", "cost": "params", "target": 40_000.0, "beta": -0.1}
    html = page.html(search(config(trials=9, reward=reward), tmp_path / "run"))
    assert "reward = accuracy − 0.1 · | parameters / 40000 − 1 |" in text(html)
    assert data(html)["unit"] == "parameters"


def test_a_random_search_stands_beside_what_random_search_is_expected_to_find(
    tmp_path: Path,
) -> None:
    log = search(config(trials=40, controller={"name": "random"}), tmp_path / "run")
    points = series.progress(log, None)["random"]["points"]
    rewards = sorted(outcome.reward for outcome in log.outcomes.values())
    rng = np.random.default_rng(0)
    for draws, mean, low, high in points[::10]:
        bests = rng.choice(rewards, (4000, draws)).max(1)
        assert mean == pytest.approx(bests.mean(), abs=4 * bests.std() / 4000**0.5 + 1e-5)
        assert np.mean(bests < low - 1e-5) <= 0.06
        assert np.mean(bests > high + 1e-5) <= 0.06


def test_a_learning_search_is_not_said_to_tell_of_chance(log: Log, tmp_path: Path) -> None:
    assert series.progress(log, None)["random"] is None
    assert "What random search would have found is not shown" in text(page.html(log))


def test_a_compared_random_search_is_drawn(log: Log, tmp_path: Path) -> None:
    proxy = log.header.config["proxy"]
    other = search(
        config(trials=30, controller={"name": "random"}, proxy=proxy), tmp_path / "random"
    )
    page.write(log, tmp_path / "x.html", other)
    progress = data((tmp_path / "x.html").read_text())["progress"]
    assert progress["random"]["of"] == 30
    assert progress["other"]["run"] == str(tmp_path / "random")


def test_a_search_of_another_reward_is_not_compared(log: Log, tmp_path: Path) -> None:
    other = search(config(trials=3, reward={"target": 4_000_000}), tmp_path / "run")
    with pytest.raises(
        InputError,
        match=r"--compare .*: its \[reward\] is not that of .*; takes a search of the same",
    ):
        page.html(log, other)


def test_what_was_asked_is_counted_by_decision_choice_and_time(log: Log) -> None:
    asked = series.asked(log)
    for number, shares in enumerate(asked["shares"]):
        assert len(shares) == log.space.sizes[number]
        assert all(99 <= total <= 101 for total in np.sum(shares, 0))
    genotype = log.asks[0].genotype
    assert all(asked["shares"][number][choice][0] == 100 for number, choice in enumerate(genotype))


def test_time_between_sessions_is_left_out(tmp_path: Path) -> None:
    first = written(
        tmp_path / "run", ask(0, 1010.0), Outcome(trial=0, accuracy=0.5, reward=0.5, time=1020.0)
    )
    first.sessions[0] = Session(time=1000.0)
    first.add(Resumed(session=Session(time=9000.0)))
    first.add(ask(1, 9005.0))
    first.add(Outcome(trial=1, accuracy=0.5, reward=0.5, time=9010.0, seconds=4.0, worker="0"))
    clock = timeline.Clock(first)
    assert clock(np.array([1000.0, 1020.0, 9000.0, 9010.0])).tolist() == [0, 20, 20, 30]
    assert clock.resumed == [20]
    drawn = timeline.timeline(first)
    assert drawn
    assert drawn["bars"] == [[[26, 30, 1, 1]]]


def test_a_session_that_only_confirmed_takes_no_time_of_the_search(tmp_path: Path) -> None:
    log = written(
        tmp_path / "run", ask(0, 1010.0), Outcome(trial=0, accuracy=0.5, reward=0.5, time=1020.0)
    )
    log.sessions[0] = Session(time=1000.0)
    log.add(Resumed(session=Session(time=5000.0)))
    log.add(Confirmed(trial=0, repeat=0, accuracy=0.5, reward=0.5, time=5100.0))
    assert (timeline.Clock(log).end, timeline.Clock(log).resumed) == (20, [])
    log.add(Resumed(session=Session(time=9000.0)))
    log.add(ask(1, 9005.0))
    assert (timeline.Clock(log).end, timeline.Clock(log).resumed) == (25, [20])


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 3)), min_size=1, max_size=60),
    st.floats(0.01, 5),
)
def test_merged_bars_lose_no_trial_and_no_time(
    steps: list[tuple[float, float]], least: float
) -> None:
    spans, now = [], 0.0
    for trial, (gap, took) in enumerate(steps):
        spans.append((now + gap, now + gap + took, trial))
        now += gap + took
    bars = timeline.merged(spans, least)
    assert sum(count for *_, count in bars) == len(spans)
    assert len(bars) <= now / least + 1
    assert (bars[0][0], bars[-1][1]) == (round(spans[0][0], 2), round(spans[-1][1], 2))
    for start, end, trial in spans:
        assert any(
            b[0] - 0.01 <= start and end <= b[1] + 0.01 and b[2] <= trial < b[2] + b[3]
            for b in bars
        )


def test_a_long_search_is_thinned(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "DETAILED", 5)
    assert list(series.details(log, [17])) == [0, 6, 12, 17, 18, 24]


@pytest.mark.parametrize("name", ZOO)
def test_a_network_is_drawn_block_by_block(name: str) -> None:
    network = zoo(name)
    stem, *stages, head = drawn(network)
    assert sum(len(stage.boxes) + stage.more for stage in stages) == len(network.blocks)
    assert (stem.pixels, head.pixels) == (network.resolution, network.blocks[-1].out_size)
    assert [stage.channels_in for stage in stages] == [
        network.stem_channels,
        *(s.channels for s in network.stages[:-1]),
    ]
    assert sum(row.share for row in (*stages, head) if row.share is not None) == pytest.approx(1)
