"""Weights in and out, as safetensors under timm's names. The only place that reads a foreign
checkpoint.

A file carries the digest of the network it belongs to; loading checks it. Foreign checkpoints are
read without running any code in them (`weights_only`), and their names mapped onto ours.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from runners.training import tensors
from search_space import Architecture, InputError
from search_space.network.build import Network, build


def save(network: Network, path: Path) -> None:
    """Write a network's weights to `path`."""
    tensors.save(network.state_dict(), path, {"mnas_digest": network.architecture.digest})


def load(network: Network, path: Path) -> None:
    """Load weights that `save` wrote.

    Raises:
        InputError: when the file is of another network, naming keys or shapes, or is no such file.
    """
    found, metadata = tensors.load(path)
    digest, ours = metadata.get("mnas_digest"), network.architecture.digest
    if digest is None:
        raise InputError(
            f"{path}: does not say which network it is of; mnas "
            "import-weights makes a file that does"
        )
    if digest != ours:
        raise InputError(f"{path}: weights of the network {digest}; this one is {ours}")
    load_tensors(network, found, str(path))


def load_tensors(network: Network, given: Mapping[str, Tensor], source: str) -> None:
    """Load tensors under our names.

    Raises:
        InputError: naming the first keys that are missing or too many, or the first shape that
            differs.
    """
    wanted = network.state_dict()
    for what, names in (
        ("lacks", wanted.keys() - given.keys()),
        ("has also", given.keys() - wanted.keys()),
    ):
        # Counters of batches seen are not in every format, and change no output.
        listed = sorted(name for name in names if not name.endswith("num_batches_tracked"))
        if listed:
            more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
            raise InputError(
                f"{source}: of another network: it {what} {', '.join(listed[:3])}{more}"
            )
    for name, tensor in given.items():
        if name in wanted and tensor.shape != wanted[name].shape:
            raise InputError(
                f"{source}: of another network: {name} is {list(tensor.shape)}, "
                f"takes {list(wanted[name].shape)}"
            )
    network.load_state_dict(
        {name: tensor for name, tensor in given.items() if name in wanted}, strict=False
    )


def from_checkpoint(architecture: Architecture, path: Path, output: Path) -> None:
    """Write the weights of a training's checkpoint: of the running average, where it has one.

    Raises:
        InputError: when it is of another network.
    """
    found, _ = tensors.load(path)
    parts = {name.partition(".")[0] for name in found}
    kept = "average." if "average" in parts else "network."
    network = initialised(architecture, None)
    given = {
        name.removeprefix(kept): tensor for name, tensor in found.items() if name.startswith(kept)
    }
    load_tensors(network, given, str(path))
    save(network, output)


def initialised(architecture: Architecture, path: Path | None) -> Network:
    """Build a network with the weights of a file, or with fresh ones of seed 0.

    Raises:
        InputError: as `load`.
    """
    torch.manual_seed(0)
    network = build(architecture)
    if path:
        load(network, path)
    return network
