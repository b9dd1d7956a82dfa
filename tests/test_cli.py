"""The command line as a user meets it: real processes, their output and their exit codes."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from mnas.engine.loop import search
from mnas.export import spec as export
from search_space.zoo import ZOO
from tests import golden
from tests.conftest import ROOT
from tests.test_search import config


def mnas(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mnas", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def good(*arguments: str | Path) -> str:
    done = mnas(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    search(config(trials=8), path)
    return path


def test_inspect_shows_a_run(run: Path) -> None:
    assert "finished, 8 of 8 trials done" in good("inspect", run)
    assert json.loads(good("inspect", run, "--json"))["trials"]["done"] == 8


def test_inspect_draws_a_picture(run: Path, tmp_path: Path) -> None:
    good("inspect", run, "--plot", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_report_writes_a_page(run: Path, tmp_path: Path) -> None:
    assert "KB; it opens in any browser, offline" in good("report", run, "-o", tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text().startswith("<!DOCTYPE html>")


def test_inspect_answers_one_question_at_a_time(run: Path, tmp_path: Path) -> None:
    assert good("inspect", run, "--trial", "3").startswith(f"Trial 3 of {run}: accuracy 0.")
    assert "is now 1 of 8" in good(
        "inspect", run, "--rerank", "target=2.5M,kind=hard", "--plot", tmp_path / "x.svg"
    )
    assert (
        json.loads(good("inspect", run, "--rerank", "target=5M", "--json"))["config"]["reward"][
            "target"
        ]
        == 5e6
    )
    assert (
        good("inspect", run, "--export", tmp_path / "x.csv")
        == f"{tmp_path}/x.csv: 8 trials of {run}\n"
    )
    assert "finished, 8 of 8 trials done, best" in good("inspect", run, "--follow")


def test_inspect_refuses_what_does_not_go_together(run: Path, tmp_path: Path) -> None:
    for arguments, says in (
        ([run, run], f"{run}: a second run; takes --compare with it"),
        ([run, "--trial=1", "--json"], "--json and --trial: takes one of them at a time"),
        ([run, "--follow", "--json"], "--follow: takes one RUN, and no option but --top"),
        ([run, "--compare"], "--compare: takes two runs or more"),
        ([run, "--trial=8"], f"trial: 8; {run} has 8, counted from 0"),
        ([run, "--export=x.xls"], "export: 'x.xls'; takes a file ending in .csv, .parquet, .jsonl"),
        ([run, f"--export={tmp_path}"], f"export: '{tmp_path}'; takes a file ending in"),
    ):
        done = mnas("inspect", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"mnas: {says}")


READING = (
    ["inspect"],
    ["inspect", "--follow"],
    ["resume"],
    ["export", "-o", "x.json"],
    ["train"],
)


@pytest.mark.parametrize("verb", READING, ids=" ".join)
def test_a_journal_that_can_not_be_read_is_one_line_from_every_verb(
    run: Path, tmp_path: Path, verb: list[str]
) -> None:
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    newer = lines[0].replace(b'"format":1', b'"format":2')
    for name, content, says in (
        ("truncated", b"".join([*lines[:2], lines[2][:40], *lines[3:]]), "line 3: "),
        ("empty", lines[0][:99], "empty; nothing was searched here yet"),
        ("foreign", b'{"name": "another tool"}\n', "line 1: not a journal of mnas"),
        ("newer", newer, "journal format 2, written by mnas 0.1.0; mnas 0.1.0 reads format 1"),
    ):
        path = tmp_path / name / "journal.jsonl"
        path.parent.mkdir()
        path.write_bytes(content)
        done = mnas(verb[0], path.parent, *verb[1:], cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), name
        assert re.fullmatch(rf"mnas: {path}(, |: ){re.escape(says)}.*\n", done.stderr), done.stderr
        assert path.read_bytes() == content
    assert not list(tmp_path.glob("x.*"))


def test_the_chain_from_a_run_to_b7(run: Path, tmp_path: Path) -> None:
    assert "validation accuracy" in good("export", run, "-o", tmp_path / "b0.json")
    table = good(
        "scale", tmp_path / "b0.json", "--table", "efficientnet", "-o", tmp_path / "scaled"
    )
    assert len(list((tmp_path / "scaled").glob("*.json"))) == 8
    name = json.loads((tmp_path / "b0.json").read_text())["name"]
    macs = [
        json.loads((tmp_path / "scaled" / f"{name}-b{n}.json").read_text())["macs"]
        for n in range(8)
    ]
    assert macs == sorted(macs)
    assert all(f"{count:,}" in table for count in macs)


def test_the_published_b0_scales_to_the_published_family(tmp_path: Path) -> None:
    good("zoo", "efficientnet-b0", "-o", tmp_path / "b0.json")
    table = good("scale", tmp_path / "b0.json", "--table", "efficientnet")
    for row in golden.SCALED.values():
        assert f"{row.params:,}" in table
        assert f"{row.macs:,}" in table


def test_scale_by_phi(tmp_path: Path) -> None:
    good("zoo", "efficientnet-b0", "-o", tmp_path / "b0.json")
    table = good("scale", tmp_path / "b0.json", "--phi", "0", "--phi", "1")
    assert re.search(r"phi0 +1 +1 +224 .* 385,814,752", table)
    assert re.search(r"phi1 +1.1 +1.2 +258 ", table)


def test_space_shows_decisions_size_members_and_costs() -> None:
    text = good("space", "mnasnet")
    assert text.startswith("42 decisions, 2.808e+18 genotypes (2,807,929,681,968,365,568)")
    for name in ZOO:
        assert re.search(rf"{name} +yes", text)
    assert "<- target" in good("space", "imagenet", "-n", "100")


def test_zoo_lists_the_published_networks() -> None:
    text = good("zoo")
    for name, row in golden.ZOO.items():
        assert re.search(rf"{name} +224 +{row.params:,} +{row.macs:,}", text)


def test_every_verb_has_help() -> None:
    verbs = re.findall(r"^  ([\w-]+) ", good("--help").partition("Commands:")[2], re.MULTILINE)
    assert set(verbs) == {
        "export",
        "import-weights",
        "inspect",
        "report",
        "resume",
        "scale",
        "scale-search",
        "search",
        "space",
        "train",
        "zoo",
    }
    for verb in verbs:
        assert "Usage:" in good(verb, "--help")


def test_verbs_that_train_nothing_import_neither_torch_nor_ray(run: Path, tmp_path: Path) -> None:
    spec, page = tmp_path / "b0.json", tmp_path / "x.html"
    program = f"""
import sys
from mnas.cli import main
for arguments in (["inspect", {str(run)!r}], ["report", {str(run)!r}, "-o", {str(page)!r}],
                  ["export", {str(run)!r}, "-o", {str(spec)!r}],
                  ["scale", {str(spec)!r}, "--phi", "1"],
                  ["space", "quickstart", "-n", "10"], ["zoo"]):
    main(arguments, standalone_mode=False)
    assert not {{"torch", "ray", "pandas", "matplotlib"}} & set(sys.modules), arguments
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["search", "nope"],
            "nope: no such file, and none of the shipped anb, cifar10-cpu, "
            "cifar10, coefficients, imagenet, quickstart",
        ),
        (
            ["search", "quickstart", "--set", "search.trails=3"],
            "search.trails: unknown (did you mean trials?)",
        ),
        (
            ["search", "quickstart", "--set", "search.trials=lots"],
            "search.trials: 'lots'; takes an integer",
        ),
        (["search", "quickstart", "--set", "search.trials=0"], "search.trials: 0; takes 1 or more"),
        (
            ["search", "quickstart", "--set", "reward.target=10"],
            "is below the smallest network of the space; takes",
        ),
        (["search", "cifar10"], "/data/cifar10 is no folder"),
        (["resume", "nowhere"], "nowhere: no run directory; it holds no journal.jsonl"),
        (["inspect", "README.md"], "README.md: no run directory; it holds no journal.jsonl"),
        (["export", "nowhere", "-o", "x.json"], "nowhere: no such file"),
        (["scale", "README.md", "--phi", "1"], "README.md: not a spec, not even JSON"),
        (["scale", "nowhere.json", "--phi", "1"], "nowhere.json: no such file"),
        (
            ["scale", "mnas", "--phi", "1"],
            "mnas: a folder; takes a spec, which mnas export makes of a run",
        ),
        (["inspect"], "Missing argument 'RUN'"),
        (
            ["report", "nowhere", "-o", "x.html"],
            "nowhere: no run directory; it holds no journal.jsonl",
        ),
        (["report", "nowhere"], "Missing option '-o'"),
        (
            ["inspect", "nowhere", "--rerank", "w=-1"],
            "nowhere: no run directory; it holds no journal.jsonl",
        ),
        (["inspect", "nowhere", "--top", "-2"], "Invalid value for '--top'"),
        (["serach"], "No such command 'serach'"),
        (
            ["export", "nowhere", "--seeds", "3", "-o", "x.json"],
            "--seeds and --trust: take --confirm K with them",
        ),
        (["zoo", "-o", "x.json"], "zoo: -o x.json takes the name of a network too"),
        (
            ["space", "nope"],
            "nor is it one of the spaces mnasnet, mnasnet-small, mnasnet-tiny, accel-nasbench, ",
        ),
        (["space", "mnasnet", "-n", "0"], "count: 0; takes 1 to 1,000,000"),
        (
            ["zoo", "efficientnet-b1"],
            "network efficientnet-b1: unknown (did you mean efficientnet-b0?)",
        ),
        (
            ["zoo", "mnasnet-a1", "-o", "/proc/x/y.json"],
            "/proc/x/y.json: No such file or directory",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], says: str) -> None:
    done = mnas(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mnas: ")
    assert not (ROOT / "x.json").exists()


def test_scale_without_a_wish_and_with_a_bad_phi_is_refused(tmp_path: Path) -> None:
    good("zoo", "efficientnet-b0", "-o", tmp_path / "b0.json")
    for arguments, says in (
        ([], "scale: takes --phi N or --table efficientnet"),
        (["--phi", "-1"], "phi: -1.0; takes a number from 0 to 20"),
        (["--phi", "1000"], "phi: 1000.0; takes a number"),
    ):
        done = mnas("scale", tmp_path / "b0.json", *arguments)
        assert (done.returncode, says in done.stderr, done.stderr.count("\n")) == (2, True, 1), (
            done.stderr
        )


def test_search_on_an_existing_run_refuses_and_points_to_resume(run: Path) -> None:
    before = (run / "journal.jsonl").read_bytes()
    done = mnas("search", "quickstart", "--run", run)
    assert done.returncode == 2
    assert (
        done.stderr == f"mnas: {run}: a search was begun here; go on with it: mnas resume {run}\n"
    )
    assert (run / "journal.jsonl").read_bytes() == before


def test_a_corrupt_journal_names_its_line(run: Path, tmp_path: Path) -> None:
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    for verb in ("inspect", "resume"):
        done = mnas(verb, tmp_path)
        assert done.returncode == 2
        assert f"{tmp_path}/journal.jsonl, line 4: " in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_full_disk_is_one_line_and_exit_code_2_and_goes_on_later(
    run: Path, tmp_path: Path
) -> None:
    """A real limit on the size of files stands for the disk."""
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines[:6]))
    limit = sum(map(len, lines[:6])) + 700
    program = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from mnas.cli import main
main(["resume", "--trust", {str(tmp_path)!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"mnas: {tmp_path}/journal.jsonl: File too large; what is written is kept"
    )
    assert "Traceback" not in done.stderr
    assert "finished, 8 of 8" in good("resume", "--trust", tmp_path)


def test_a_terminal_has_a_live_line_and_the_log_file_plain_ones(tmp_path: Path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(
        """
        search = {trials = 30, window = 4}
        space = {name = "mnasnet-tiny"}
        controller = {name = "random"}
        reward = {target = 3e6}
        runner = {workers = 0}
        proxy = {name = "tests.stand_in:Arithmetic", sleep = 0.05}
        """
    )
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (40, 140))
    command = [sys.executable, "-m", "mnas", "search", str(toml), "--run", str(tmp_path / "run")]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=inside)
    os.close(inside)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
    os.close(terminal)
    assert running.wait() == 0
    text = shown.decode()
    assert re.search(
        r"\r30/30 trials \|█+\| .*0 running or waiting, best \d\.\d{4} at [\d.]+[MK] MACs", text
    )
    assert text.startswith(f"{tmp_path}/run: 0 of 30 trials done")
    assert text.count("\n") <= 3
    log = (tmp_path / "run" / "search.log").read_text()
    assert len(re.findall(r"trial \d+: accuracy 0\.\d{4}, \d+\.\d\dM MACs, reward", log)) == 30


def test_options_that_would_be_ignored_are_refused(run: Path, tmp_path: Path) -> None:
    good("zoo", "mnasnet-a1", "-o", tmp_path / "a1.json")
    for arguments, says in (
        (["export", tmp_path / "a1.json", "--trial", "9"], "--trial 9: takes a search"),
        (["export", run, "--weights", "x"], "--weights x: takes --to onnx or --to weights"),
        (
            ["scale", tmp_path / "a1.json", "--table", "efficientnet", "--coefficients", "x"],
            "takes --phi N with it",
        ),
    ):
        done = mnas(*arguments, "-o", tmp_path / "out")
        assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_what_is_no_run_directory_gets_no_file(tmp_path: Path) -> None:
    assert mnas("resume", tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_untrained_weights_are_called_so(run: Path, tmp_path: Path) -> None:
    said = good("export", run, "--to", "weights", "-o", tmp_path / "x.safetensors")
    assert "untrained weights of seed 0" in said
    assert "accuracy" not in said


def test_mnas_alone_shows_its_help() -> None:
    done = mnas()
    assert done.returncode == 2
    assert "Commands:\n" in done.stdout


def test_a_controller_of_ones_own_is_gone_on_with_as_the_hint_says(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from controllers.random_search import RandomSearch as Mine\n"
    )
    more = [
        "--set=controller.name=mine:Mine",
        "--set=proxy.name=tests.stand_in:Arithmetic",
        "--set=search.trials=3",
    ]
    assert (
        mnas(
            "search", "quickstart", "--run", "run", "--set=runner.workers=0", *more, cwd=tmp_path
        ).returncode
        == 0
    )
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    (hint,) = re.findall(r"Go on with: mnas (.*)", mnas("inspect", "run", cwd=tmp_path).stdout)
    assert "finished, 3 of 3" in mnas(*hint.split(), cwd=tmp_path).stdout


def test_bad_input_on_the_way_is_in_the_runs_log(tmp_path: Path) -> None:
    faulty = ["how=bad-input", f"marks={tmp_path}/marks"]
    more = ["--set=proxy.name=tests.stand_in:Faulty", *(f"--set=proxy.{each}" for each in faulty)]
    done = mnas("search", "quickstart", "--run", tmp_path / "run", "--set=runner.workers=0", *more)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "mnas: path: cat.jpg is no picture"
    assert "stopped: path: cat.jpg is no picture" in (tmp_path / "run" / "search.log").read_text()


def test_weights_onnx_and_strings_come_out_of_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "a1.json"
    good("zoo", "mnasnet-a1", "-o", spec)
    for kind in ("timm", "tf", "weights"):
        assert "311.58M MACs, 3.89M params" in good(
            "export", spec, "--to", kind, "-o", tmp_path / kind
        )
    assert json.loads((tmp_path / "timm").read_text())["arch_def"][2] == [
        "ir_r3_k5_s2_e3_c40_se0.25"
    ]
    assert (
        json.loads((tmp_path / "tf").read_text())["blocks_args"][2] == "r3_k5_s22_e3_i24_o40_se0.25"
    )
    (tmp_path / "weights").rename(tmp_path / "a1.safetensors")
    said = good(
        "import-weights", tmp_path / "a1.safetensors", spec, "--padding=same", "-o", tmp_path / "b"
    )
    assert "read by timm's names" in said
    assert json.loads((tmp_path / "b.json").read_text())["architecture"]["padding"] == "same"
    same = ["--weights", tmp_path / "b.safetensors"]
    out = good("export", tmp_path / "b.json", "--to=onnx", *same, "-o", tmp_path / "b.onnx")
    assert re.search(
        r"onnxruntime's logits and PyTorch's differ by \d\.\de-\d\d of the largest, at most", out
    )
    done = mnas("export", spec, "--to=weights", *same, "-o", tmp_path / "x.safetensors")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "weights of the network" in done.stderr


def test_what_a_grammar_cannot_say_is_refused_by_stage_and_field(tmp_path: Path) -> None:
    stages = [
        replace(stage, skip="pool") if stage.channels == 40 else stage
        for stage in ZOO["mnasnet-a1"].stages
    ]
    export.write(
        tmp_path / "a1.json", export.spec(replace(ZOO["mnasnet-a1"], stages=tuple(stages)), "a1")
    )
    for grammar in ("timm", "tf"):
        done = mnas(
            "export", tmp_path / "a1.json", "--to", grammar, "-o", tmp_path / "strings.json"
        )
        assert done.returncode == 2
        assert "mnas: stage 3.skip: pool can't be said in " in done.stderr
        assert not (tmp_path / "strings.json").exists()
