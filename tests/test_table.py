"""The flat table of trials, for other tools; and the page that says what is in it and in the
journal.
"""

import dataclasses
import json
import re
from pathlib import Path

import pandas
import pytest

import mnas
from mnas.analysis import ranking as report
from mnas.analysis import rerank, table
from mnas.engine.loop import search
from mnas.journal import records
from mnas.journal.log import Log
from runners import Failure
from search_space import InputError
from tests.conftest import ROOT
from tests.test_journal import ASK, OUTCOME
from tests.test_search import config
from tests.test_trial import written

PAGE = (ROOT / "docs" / "journal.md").read_text()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    folder = tmp_path_factory.mktemp("table")
    faulty = {"name": "tests.stand_in:Faulty", "how": "diverged", "marks": str(folder / "marks")}
    return search(config(trials=12, proxy=faulty), folder / "run")


def read_csv(path: Path) -> pandas.DataFrame:
    frame = pandas.read_csv(path, keep_default_na=False, na_values=[""])
    return frame.assign(curve=[json.loads(curve) for curve in frame["curve"]])


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        ("csv", read_csv),
        ("parquet", pandas.read_parquet),
        (
            "jsonl",
            lambda path: pandas.DataFrame(
                [json.loads(line) for line in path.read_text().splitlines()]
            ),
        ),
    ],
)
def test_each_kind_of_file_holds_every_figure_exactly(
    log: Log, tmp_path: Path, ending: str, read: object
) -> None:
    assert callable(read)
    path = tmp_path / f"trials.{ending}"
    assert table.write(log, path) == 12
    frame = read(path)
    assert len(frame) == 12
    for trial, outcome in log.outcomes.items():
        row = frame.loc[trial]
        assert (row["accuracy"], row["reward"], row["macs"]) == (
            outcome.accuracy,
            outcome.reward,
            log.asks[trial].macs,
        )
        assert list(row["curve"]) == list(outcome.curve)
        assert row["status"] == ("failed" if trial == 1 else "done")
        for name, choice in log.space.answers(log.asks[trial].genotype).items():
            assert row[name] == choice
    assert frame.loc[1, "failure_kind"] == "diverged"
    assert pandas.isna(frame.loc[0, "failure_kind"])


def test_unfinished_and_reused_trials_have_rows_too(tmp_path: Path) -> None:
    again = dataclasses.replace(OUTCOME, trial=1, reused_from=0)
    asks = [dataclasses.replace(ASK, trial=trial) for trial in range(3)]
    frame = table.trials(written(tmp_path / "run", *asks, OUTCOME, again))
    assert frame["status"].tolist() == ["done", "reused", "unfinished"]
    assert frame["reused_from"].tolist()[1] == 0
    assert frame.loc[2, ["accuracy", "reward", "seconds", "told_at"]].isna().all()
    assert frame.loc[0, "asked_at"] == pandas.Timestamp(1.0, unit="s", tz="UTC")


def test_a_spreadsheet_computes_nothing_that_a_strangers_run_says(tmp_path: Path) -> None:
    why = Failure("raised", '=HYPERLINK("http://x";"y")')
    failed = dataclasses.replace(OUTCOME, accuracy=0.0, failure=why, worker="@SUM(1)")
    log = written(tmp_path / "run", ASK, failed)
    table.write(log, tmp_path / "x.csv")
    row = read_csv(tmp_path / "x.csv").loc[0]
    assert (row["failure_message"], row["worker"]) == (f"'{why.message}", "'@SUM(1)")
    table.write(log, tmp_path / "x.parquet")
    assert pandas.read_parquet(tmp_path / "x.parquet").loc[0, "failure_message"] == why.message


def test_a_log_without_a_trial_is_an_empty_table(tmp_path: Path) -> None:
    log = written(tmp_path / "run")
    for ending in ("csv", "parquet", "jsonl"):
        assert table.write(log, tmp_path / f"x.{ending}") == 0
    assert (tmp_path / "x.csv").read_text().startswith("trial,status,accuracy,reward,")


def test_another_ending_is_refused_and_nothing_is_written(log: Log, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"export: '.*x.xlsx'; takes a file ending in .csv, .parquet, .jsonl"
    ):
        table.write(log, tmp_path / "x.xlsx")
    assert list(tmp_path.iterdir()) == []


EVENTS = {
    "search": records.Header,
    "ask": records.Ask,
    "retry": records.Retry,
    "outcome": records.Outcome,
    "resume": records.Resumed,
    "exhausted": records.Exhausted,
}


@pytest.mark.parametrize("event", EVENTS)
def test_the_page_names_every_field_of_every_record(event: str) -> None:
    (section,) = re.findall(
        rf'^## `"event": "{event}"`(.*?)(?=^## )', PAGE, re.MULTILINE | re.DOTALL
    )
    named = set(re.findall(r"^\| (`\w+`)", section, re.MULTILINE)) or set(
        re.findall(r"`\w+`", section)
    )
    fields = {f"`{field.name}`" for field in dataclasses.fields(EVENTS[event])} - {"`event`"}
    assert named == fields


def test_the_page_names_session_format_and_every_kind_of_failure() -> None:
    for field in dataclasses.fields(records.Session):
        assert f"`{field.name}`" in PAGE
    assert f"format **{records.FORMAT}**" in PAGE
    kinds = {"raised", "diverged", "out-of-memory", "time-limit", "worker-died", "machine"}
    assert all(f"`{kind}`" in PAGE for kind in kinds)


def test_the_page_names_every_column_of_the_table(log: Log) -> None:
    section = PAGE[PAGE.index("## The table of trials") :]
    names = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)))
    )
    assert names == {name for name in table.trials(log) if "." not in name}


def test_a_run_in_a_notebook_has_its_trials_best_front_and_networks(log: Log) -> None:
    run = mnas.open_run(str(log.run))
    assert run.trials.equals(table.trials(log))
    assert run.best(3)["trial"].tolist() == [row.trial for row in report.best(log, 3)]
    assert run.pareto()["trial"].tolist() == [row.trial for row in report.front(log)]
    assert run.architecture(4) == log.architecture(4)
    assert repr(run).startswith(
        f"{log.run}: finished, 12 of 12 trials done, 1 failed\nspace mnasnet-tiny, "
    )


def test_a_run_in_a_notebook_is_ranked_again_by_keywords_or_words(log: Log) -> None:
    run = mnas.open_run(log.run)
    other = rerank.under(log, {"target": 9e6, "alpha": 0.0, "beta": -1.0})
    rewards = [outcome.reward for _, outcome in sorted(other.outcomes.items())]
    assert run.rerank(target=9e6, kind="hard").trials["reward"].tolist() == rewards
    assert run.rerank("target=9M,kind=hard").trials["reward"].tolist() == rewards


def test_what_a_stranger_wrote_can_not_break_out_of_the_notebooks_table(tmp_path: Path) -> None:
    page = mnas.open_run(
        written(tmp_path / "<script>alert(1)</script>", ASK, OUTCOME).run
    )._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<td>0</td><td>0.5000</td><td>0.4000</td>" in page
