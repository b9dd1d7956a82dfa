from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from mnas.export import onnx
from search_space.mnasnet import tiny
from search_space.network.build import build
from search_space.zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Batch statistics as after training, so that logits are not all but zero."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network


def test_b0_runs_in_onnxruntime_with_the_same_logits(tmp_path: Path) -> None:
    difference = onnx.export(lively(build(ZOO["efficientnet-b0"])), tmp_path / "b0.onnx")  # type: ignore[arg-type]
    assert difference < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "b0.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, 224, 224]


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_pooling_skips_plain_convolutions_and_both_paddings_go_out(
    tmp_path: Path, padding: str
) -> None:
    space = tiny()
    choices = {"op": 0, "se_ratio": 1, "skip": 0}  # conv with SE and a pooling skip, in every stage
    template = space.decode(tuple(choices.get(d.field, 1) for d in space.decisions))
    network = lively(build(replace(template, padding=padding)))  # type: ignore[arg-type]
    assert onnx.export(network, tmp_path / "tiny.onnx") < 1e-4  # type: ignore[arg-type]
