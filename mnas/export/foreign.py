"""Checkpoints of other libraries, their names mapped onto ours."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mnas.export.weights import load_tensors
from runners.training import tensors
from search_space import Architecture
from search_space.errors import InputError, require_known
from search_space.network.build import Network, build

_SUFFIX = r"\.(weight|bias|running_mean|running_var|num_batches_tracked)$"


def _read_foreign(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return tensors.load(path)[0]
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # a hostile pickle may raise anything
        raise InputError(
            f"{path}: no checkpoint of plain tensors ({type(error).__name__})"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(tensor, Tensor) for tensor in content.values()
    ):
        raise InputError(f"{path}: no state dict: takes names and tensors")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _split(name: str) -> tuple[str, str]:
    """Split `a.b.weight` into layer and parameter."""
    match = re.search(_SUFFIX, name)
    return (name[: match.start()], name[match.start() :]) if match else (name, "")


def _layers(architecture: Architecture, block: int) -> list[list[str]]:
    """Return the names of a block's convolutions and batch norms, [conv, bn] each, in order."""
    op = architecture.blocks[block].op
    if op in ("conv", "identity"):
        return [["conv", "bn1"]]
    if op == "sepconv":
        return [["conv_dw", "bn1"], ["conv_pw", "bn2"]]
    return [["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]]


def _place(architecture: Architecture, block: int) -> str:
    stage = architecture.blocks[block].stage
    first = next(i for i, b in enumerate(architecture.blocks) if b.stage == stage)
    return f"blocks.{stage}.{block - first}"


def _timm(architecture: Architecture) -> dict[str, str]:
    """Our own names, which are timm's."""
    with torch.device("meta"):
        return {_split(name)[0]: _split(name)[0] for name in build(architecture).state_dict()}


def _lukemelas(architecture: Architecture) -> dict[str, str]:
    """EfficientNet-PyTorch (lukemelas) and its ports of TensorFlow's checkpoints: blocks counted
    through.
    """
    names = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    for number in range(len(architecture.blocks)):
        theirs = [["_expand_conv", "_bn0"], ["_depthwise_conv", "_bn1"], ["_project_conv", "_bn2"]]
        layers = _layers(architecture, number)
        pairs = [*zip(theirs[3 - len(layers) :], layers, strict=True)]
        pairs += [(["_se_reduce", "_se_expand"], ["se.conv_reduce", "se.conv_expand"])]
        for sources, targets in pairs:
            for source, target in zip(sources, targets, strict=True):
                names[f"_blocks.{number}.{source}"] = f"{_place(architecture, number)}.{target}"
    return names


def _torchvision_efficientnet(architecture: Architecture) -> dict[str, str]:
    """Torchvision's EfficientNet: stages 1 … n of `features`, SE between the depthwise conv and the
    last.
    """
    last = len(architecture.stages) + 1
    names = {"features.0.0": "conv_stem", "features.0.1": "bn1", "classifier.1": "classifier"}
    names |= {f"features.{last}.0": "conv_head", f"features.{last}.1": "bn2"}
    for number, block in enumerate(architecture.blocks):
        place = _place(architecture, number)
        stage, repeat = map(int, place.split(".")[1:])
        theirs = f"features.{stage + 1}.{repeat}.block"
        layers = _layers(architecture, number)
        squeezed = bool(block.se_channels)
        for index, (conv, bn) in enumerate(layers):
            at = index + 1 if squeezed and index == len(layers) - 1 else index
            names |= {f"{theirs}.{at}.0": f"{place}.{conv}", f"{theirs}.{at}.1": f"{place}.{bn}"}
        names[f"{theirs}.{len(layers) - 1}.fc1"] = f"{place}.se.conv_reduce"
        names[f"{theirs}.{len(layers) - 1}.fc2"] = f"{place}.se.conv_expand"
    return names


def _torchvision_mobilenet(architecture: Architecture) -> dict[str, str]:
    """Torchvision's MobileNetV2: blocks counted through, the last conv of each not nested."""
    last = len(architecture.blocks) + 1
    names = {"features.0.0": "conv_stem", "features.0.1": "bn1", "classifier.1": "classifier"}
    names |= {f"features.{last}.0": "conv_head", f"features.{last}.1": "bn2"}
    for number in range(len(architecture.blocks)):
        theirs, place = f"features.{number + 1}.conv", _place(architecture, number)
        *nested, (conv, bn) = _layers(architecture, number)
        for index, (inner, norm) in enumerate(nested):
            names |= {
                f"{theirs}.{index}.0": f"{place}.{inner}",
                f"{theirs}.{index}.1": f"{place}.{norm}",
            }
        names |= {
            f"{theirs}.{len(nested)}": f"{place}.{conv}",
            f"{theirs}.{len(nested) + 1}": f"{place}.{bn}",
        }
    return names


def _torchvision_mnasnet(architecture: Architecture) -> dict[str, str]:
    """Torchvision's MnasNet: the stem and the first, separable stage flat in `layers`, the others
    nested.
    """
    names = {"layers.0": "conv_stem", "layers.1": "bn1", "classifier.1": "classifier"}
    names |= {"layers.14": "conv_head", "layers.15": "bn2"}
    for number in range(len(architecture.blocks)):
        place = _place(architecture, number)
        stage, repeat = map(int, place.split(".")[1:])
        for index, (conv, bn) in enumerate(_layers(architecture, number)):
            at = 3 * index
            if stage == 0:
                names |= {
                    f"layers.{3 + at}": f"{place}.{conv}",
                    f"layers.{4 + at}": f"{place}.{bn}",
                }
            else:
                theirs = f"layers.{7 + stage}.{repeat}.layers"
                names |= {
                    f"{theirs}.{at}": f"{place}.{conv}",
                    f"{theirs}.{at + 1}": f"{place}.{bn}",
                }
    return names


NAMINGS: dict[str, Callable[[Architecture], dict[str, str]]] = {
    "timm": _timm,
    "lukemelas": _lukemelas,
    "torchvision-efficientnet": _torchvision_efficientnet,
    "torchvision-mobilenet": _torchvision_mobilenet,
    "torchvision-mnasnet": _torchvision_mnasnet,
}


def import_weights(path: Path, network: Network, naming: str | None = None) -> str:
    """Load a foreign checkpoint into `network`; return the naming it was read by.

    Args:
        path: `.safetensors`, or a torch checkpoint of plain tensors.
        network: of the same geometry.
        naming: one of NAMINGS; None takes the one that knows most of the file's names.

    Raises:
        InputError: when it is no checkpoint, or of another network.
    """
    found = _read_foreign(path)
    tables = {name: table(network.architecture) for name, table in NAMINGS.items()}
    if naming is None:
        naming = max(tables, key=lambda name: sum(_split(key)[0] in tables[name] for key in found))
    require_known(naming, NAMINGS, place="naming ", owner="it")
    known = tables[naming]
    named = {
        known.get(layer, layer) + suffix: found[layer + suffix]
        for layer, suffix in map(_split, found)
    }
    load_tensors(network, named, f"{path}, read by {naming}'s names")
    return naming
