"""A spec as block strings of timm or TensorFlow, and back."""

import inspect
from collections.abc import Mapping
from typing import Any

from search_space import Architecture
from search_space.block_strings import from_tf, from_timm, to_tf, to_timm
from search_space.cost import cost
from search_space.errors import InputError, require_known


def strings(content: Mapping[str, Any], grammar: str) -> dict[str, Any]:
    """Return a spec's network in timm's or TensorFlow's strings and keywords, read back and found
    the same.

    Beside TensorFlow's strings stand our own names for what they do not say.

    Raises:
        InputError: naming the stage and the field that the grammar can't say.
    """
    said = Architecture.from_json(content["architecture"])
    if grammar == "timm":
        written = to_timm(said)
    else:
        fields = {
            name: value
            for name, value in said.to_json().items()
            if name not in ("stages", "stem_stride")
        }
        written = {"blocks_args": to_tf(said), **fields}
    written["resolution"] = said.resolution
    back = from_strings(written)
    if back.digest != said.digest or cost(back) != cost(said):
        raise InputError(f"{content['name']}: read back, {grammar}'s strings build another network")
    return written


def from_strings(content: Mapping[str, Any]) -> Architecture:
    """Return the architecture that `strings` wrote down.

    Raises:
        InputError: naming the stage and the token, or the keyword, that can't be read.
    """
    if "arch_def" in content:
        keywords = {name: value for name, value in content.items() if name != "arch_def"}
        for name in keywords:
            require_known(name, inspect.signature(from_timm).parameters, owner="it")
        return from_timm(content["arch_def"], **keywords)
    fields = {name: value for name, value in content.items() if name != "blocks_args"}
    for name in fields:
        require_known(
            name, Architecture.__dataclass_fields__.keys() - {"stages", "stem_stride"}, owner="it"
        )
    return from_tf(content["blocks_args"], **fields)
