import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnas.analysis.ranking import best
from mnas.engine.loop import search
from mnas.export import spec as export
from mnas.export import strings, trial
from mnas.journal.log import Log
from search_space import InputError
from search_space.cost import cost
from search_space.zoo import ZOO
from tests.test_search import config


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return search(config(trials=8), tmp_path_factory.mktemp("export") / "run")


@pytest.mark.parametrize("name", sorted(ZOO))
def test_a_spec_reads_back(name: str, tmp_path: Path) -> None:
    export.write(tmp_path / "deep" / "spec.json", export.spec(ZOO[name], name))
    read = export.read(tmp_path / "deep" / "spec.json")
    assert (read["name"], export.architecture(read)) == (name, ZOO[name])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["spec.json"]


def test_the_winners_spec_says_what_it_is_what_it_reached_and_where_it_is_from(log: Log) -> None:
    spec, winner = trial.trial_spec(log), best(log, 1)[0]
    architecture = log.space.decode(log.asks[winner.trial].genotype)
    assert spec["architecture"] == architecture.to_json()
    assert spec["blocks"] == list(architecture.block_strings)
    assert (spec["macs"], spec["params"]) == cost(architecture)[:2]
    assert spec["accuracy"]["validation"] == winner.accuracy
    provenance = spec["provenance"]
    assert (provenance["trial"], provenance["seed"]) == (winner.trial, 3)
    assert provenance["run"] == str(log.run.resolve())
    assert provenance["config_digest"] == log.header.config_digest
    assert provenance["sessions"][0]["versions"]["mnas"]


def test_any_trial_can_be_exported(log: Log) -> None:
    assert trial.trial_spec(log, 5)["provenance"]["genotype"] == list(log.asks[5].genotype)


def test_a_trial_without_accuracy_is_refused(tmp_path: Path) -> None:
    faulty = {"name": "tests.stand_in:Faulty", "how": "raised", "marks": str(tmp_path / "marks")}
    log = search(config(trials=3, proxy=faulty), tmp_path / "run")
    with pytest.raises(InputError, match=r"trial: 1 failed \(raised\); nothing to export"):
        trial.trial_spec(log, 1)
    with pytest.raises(InputError, match="trial: 7; "):
        trial.trial_spec(log, 7)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "not a spec; takes what mnas export or mnas zoo writes"),
        ({"version": 9}, "spec version 9; mnas 0.1.0 reads version 1"),
        ({"architecture": None}, "architecture: NoneType found"),
        ({"macs": 5}, "macs is 5, its architecture's is 385814752; edited by hand?"),
        ({"digest": "x"}, "digest is 'x'"),
        ({"blocks": []}, "blocks is [], its architecture's is ['ds_r1"),
        ({"name": "../../x"}, "name is '../../x'; takes letters"),
        ({"name": {}}, "name is {}"),
    ],
)
def test_what_is_no_spec_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(export.spec(ZOO["efficientnet-b0"], "b0") | change))
    with pytest.raises(InputError) as caught:
        export.read(path)
    assert str(caught.value).startswith(f"{path}: {says}")


@pytest.mark.parametrize("content", ["", "hello", "[]", "3", "null"])
def test_what_is_not_even_json_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(content)
    with pytest.raises(InputError, match=f"{path}: not a spec"):
        export.read(path)


def test_a_spec_is_not_written_over_a_folder_or_a_device(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null"), Path()):
        with pytest.raises(InputError, match="not a file; takes the name of one to write"):
            export.write(path, {})
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("grammar", ["timm", "tf"])
def test_strings_are_read_back_before_they_are_written(grammar: str) -> None:
    written = strings.strings(export.spec(ZOO["efficientnet-b0"], "b0"), grammar)
    assert json.loads(json.dumps(written)) == written
    assert strings.from_strings(written).digest == ZOO["efficientnet-b0"].digest
    if grammar == "timm":
        assert written["arch_def"][1] == ["ir_r2_k3_s2_e6_c24_se0.25"]
        assert (written["act_layer"], written["norm_eps"], written["stem_size"]) == (
            "silu",
            1e-3,
            32,
        )
    else:
        assert written["blocks_args"][1] == "r2_k3_s22_e6_i16_o24_se0.25"


@pytest.mark.parametrize("grammar", ["timm", "tf"])
def test_a_file_of_strings_is_read_as_a_spec(tmp_path: Path, grammar: str) -> None:
    path = tmp_path / "lite 0.json"
    same = replace(ZOO["efficientnet-lite0"], padding="same")
    export.write(path, strings.strings(export.spec(same, "lite0"), grammar))
    read = export.read(path)
    assert (read["name"], read["digest"]) == ("lite-0", same.digest)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"arch_def": ["ds_r1_k3_s1"]}, "stage 1: 'ds_r1_k3_s1': block.channels: missing"),
        ({"arch_def": 7}, "no block strings that can be read"),
        (
            {"arch_def": [["ds_r1_k3_s1_c16"]], "num_clases": 3},
            "num_clases: unknown (did you mean num_classes?)",
        ),
        ({"blocks_args": ["r1_k3_s11_e1_i32"]}, "stage 1, 'r1_k3_s11_e1_i32': o: missing"),
        (
            {"blocks_args": ["r1_k3_s11_e1_i32_o16"], "classes": "x"},
            "classes: 'x'; takes an integer",
        ),
    ],
)
def test_a_file_of_bad_strings_is_refused(
    tmp_path: Path, content: dict[str, Any], says: str
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        export.read(tmp_path / "x.json")
    assert says in str(caught.value)


def test_a_spec_from_before_a_field_was_added_is_read(tmp_path: Path) -> None:
    spec = export.spec(ZOO["efficientnet-b0"], "b0")
    del spec["architecture"]["padding"]
    export.write(tmp_path / "b0.json", spec)
    assert export.architecture(export.read(tmp_path / "b0.json")) == ZOO["efficientnet-b0"]


def test_a_hidden_run_directory_gives_a_spec_that_can_be_read(tmp_path: Path) -> None:
    log = search(config(trials=2), tmp_path / ".hidden run")
    export.write(tmp_path / "x.json", trial.trial_spec(log))
    assert export.read(tmp_path / "x.json")["name"].startswith("hidden-run-trial")
