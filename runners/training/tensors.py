"""Named tensors in and out of safetensors files: no pickle, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from runners.files import replacing
from search_space.errors import InputError


def save(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors, in the memory layout that their shapes say, and strings about them.

    Raises:
        InputError: when the disk takes no more.
    """
    with replacing(path) as temporary:
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        temporary.write_bytes(serialise(plain, {"format": "pt", **metadata}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and the strings about them.

    Raises:
        InputError: when it is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from None
