import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from search_space import Architecture, Cost, Decision, Space, Stage
from search_space.cost import blocks_cost, cheapest, cost
from search_space.mnasnet import tiny
from search_space.zoo import ZOO
from tests import golden
from tests.test_space import SHIPPED


def test_a_block_costs_what_one_counts_by_hand() -> None:
    stage = Stage(
        op="mbconv", kernel=3, stride=2, channels=24, repeats=1, expansion=6, se_ratio=0.25
    )
    block = Architecture(stages=(stage,), stem_channels=16, resolution=8).blocks[
        0
    ]  # 4×4 in, 2×2 out
    macs = 16 * 96 * 16 + 9 * 96 * 4 + 96 * 24 * 4 + 2 * 96 * 4
    params = 16 * 96 + 2 * 96 + 9 * 96 + 2 * 96 + 96 * 24 + 2 * 24 + (96 * 4 + 4) + (4 * 96 + 96)
    activations = 96 * 16 + 96 * 4 + 24 * 4 + 4 + 96
    assert blocks_cost([block]) == Cost(macs, params, activations)


@pytest.mark.parametrize("name", sorted(golden.ZOO))
def test_published_networks_cost_what_was_published(name: str) -> None:
    assert cost(ZOO[name])[:2] == (golden.ZOO[name].macs, golden.ZOO[name].params)


def test_every_zoo_network_has_a_golden_row() -> None:
    assert golden.ZOO.keys() == ZOO.keys()


def test_golden_rows_are_those_of_the_reference_file(shared: Path) -> None:
    models = json.loads((shared / "reference.json").read_text())["models"]
    for name, row in golden.ZOO.items():
        model = models[name.replace("mobilenet-v2", "mobilenet_v2")]
        assert row == (
            model["params"],
            model["macs"]["total_conv_linear"],
            model["state_dict_keys"],
        )
    for name, row in golden.SCALED.items():
        model = models[f"efficientnet-{name}"]
        assert row == (
            model["params"],
            model["macs"]["total_conv_linear"],
            model["state_dict_keys"],
        )


def test_the_cheapest_genotype_is_cheapest_of_all_in_a_space_small_enough_to_list() -> None:
    # Stages 2 and 4 of the tiny space ask, the others stand.
    full = tiny()
    asked = tuple(
        d for d in full.decisions if d.stage in (2, 4) and d.field not in ("skip", "kernel")
    )
    space = Space(full.template, asked)
    for metric in ("macs", "params"):
        prices = {
            genotype: getattr(cost(space.decode(genotype)), metric)
            for genotype in itertools.product(*map(range, space.sizes))
        }
        assert prices[cheapest(space, metric)] == min(prices.values())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_no_random_network_is_cheaper_than_the_cheapest(name: str) -> None:
    space, rng = SHIPPED[name], np.random.default_rng(0)
    least = cost(space.decode(cheapest(space, "macs"))).macs
    assert all(cost(space.decode(space.random(rng))).macs >= least for _ in range(2000))


def test_a_space_of_one_network_has_a_cheapest() -> None:
    space = Space(tiny().template, (Decision(1, "kernel", (3,)),))
    assert cheapest(space, "macs") == (0,)
