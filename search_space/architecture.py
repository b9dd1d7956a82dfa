"""The frozen description of one network, and its geometry resolved once.

A *stage* is a run of equal blocks, a *block* is one MBConv (or one of its plainer sisters), a
*layer* is one convolution. MnasNet's paper (arXiv 1807.11626, Fig. 4) calls our stage a "block" and
our block a "layer". Stages are counted from 1 for people and from 0 in parameter names
(`blocks.0`).

`Architecture.blocks` is the only place where a width, a size or a shortcut is worked out: pricing,
building and exporting all read it.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self, get_args

from search_space.errors import InputError, require, require_known

Op = Literal["conv", "sepconv", "mbconv", "identity"]
Skip = Literal["none", "identity", "pool"]
Activation = Literal["relu", "relu6", "silu"]
Padding = Literal["symmetric", "same"]

# timm's names for the ops, which block strings use; `id` is ours alone.
_CODES: dict[str, Op] = {"cn": "conv", "ds": "sepconv", "ir": "mbconv", "id": "identity"}
_CODE_OF = {op: code for code, op in _CODES.items()}


class Block(NamedTuple):
    """One block with everything decided: what `build`, `cost` and `export` need, nothing to
    compute.

    conv     k×k conv, BN, act [, SE]
    sepconv  depthwise k×k, BN, act [, SE], 1×1 conv, BN (EfficientNet's MBConv1)
    mbconv   1×1 conv to `mid_channels`, BN, act, depthwise k×k, BN, act [, SE], 1×1 conv, BN
    identity 1×1 conv, BN; where stride or channels change, for elsewhere it is no block at all
    """

    stage: int  # counted from 0
    op: Op
    kernel: int
    stride: int
    in_channels: int
    mid_channels: int  # where the k×k convolution works; `in_channels` unless op is mbconv
    out_channels: int
    se_channels: int  # width of the squeeze; 0: no squeeze-and-excitation
    skip: Skip  # the shortcut that is really there
    drop_connect: float  # chance in training that the residual branch is dropped
    in_size: int  # pixels a side
    out_size: int


def _check_int(name: str, value: object, least: int = 1, most: int = 1_000_000) -> None:
    if (
        type(value) is not int or not least <= value <= most
    ):  # not `require`: the words take longer than the check
        raise InputError(f"{name}: {value!r}; takes an integer from {least} to {most:,}")


def _check_share(name: str, value: object) -> None:
    require(
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1,
        name,
        value,
        "a number from 0 to below 1",
    )


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    require(value in allowed, name, value, ", ".join(allowed))


def _fields(cls: type, data: object, owner: str) -> dict[str, Any]:
    """Check that `data` is a JSON object with the fields of the dataclass `cls` and no others."""
    if not isinstance(data, Mapping):
        raise InputError(f"{owner}: {type(data).__name__} found; takes an object")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in data:
        require_known(str(key), fields, place=f"{owner}.", owner="it")
    for name, field in fields.items():
        if name not in data and field.default is dataclasses.MISSING:
            raise InputError(f"{owner}.{name}: missing")
    return dict(data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A run of `repeats` equal blocks; the first has the stride and the change of channels.

    The skip is asked of every block. `identity` is there where it can be: at stride 1 with as many
    channels out as in. `pool` is there always: a 3×3 average with the block's stride; where
    channels grow the new ones get no shortcut, where they shrink the first ones are taken. It has
    no parameters and no multiply-adds. (MnasNet names pooling as a choice and does not define it.)
    """

    op: Op
    kernel: int
    stride: int
    channels: int
    repeats: int
    expansion: int = 1
    se_ratio: float = 0.0
    skip: Skip = "identity"

    def __post_init__(self) -> None:
        _check_choice("op", self.op, get_args(Op))
        require(
            type(self.kernel) is int and 1 <= self.kernel <= 99 and self.kernel % 2 == 1,
            "kernel",
            self.kernel,
            "an odd integer from 1 to 99",
        )
        _check_int("stride", self.stride)
        _check_int("channels", self.channels)
        _check_int("repeats", self.repeats, most=1000)
        if self.op == "mbconv":
            # Expansion 1 is sepconv, so that one network has one description.
            _check_int("expansion", self.expansion, least=2, most=1000)
        else:
            require(self.expansion == 1, "expansion", self.expansion, f"1 with op {self.op}")
        _check_share("se_ratio", self.se_ratio)
        require(
            self.op != "identity" or not self.se_ratio,
            "se_ratio",
            self.se_ratio,
            "0 with op identity",
        )
        _check_choice("skip", self.skip, get_args(Skip))

    def __str__(self) -> str:
        """Write the stage in timm's block grammar, `_pool` and `_se` on `cn` being ours alone."""
        parts = [_CODE_OF[self.op], f"r{self.repeats}", f"k{self.kernel}", f"s{self.stride}"]
        parts += [f"e{self.expansion}"] if self.op == "mbconv" else []
        parts += [f"c{self.channels}"]
        parts += [f"se{self.se_ratio!r}"] if self.se_ratio else []
        # timm: identity is the default of ds and ir, no skip that of cn.
        default: Skip = "none" if self.op == "conv" else "identity"
        words = {"none": "noskip", "identity": "skip", "pool": "pool"}
        parts += [words[self.skip]] if self.skip != default else []
        return "_".join(parts)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one block string, as `str(stage)` writes it: `ir_r2_k5_s2_e6_c40_se0.25`.

        Raises:
            InputError: naming the token and what the grammar takes.
        """
        code, *tokens = text.split("_")
        require_known(code, _CODES, place=f"{text!r}: ", owner="a block")
        found: dict[str, Any] = {"op": _CODES[code]}
        skips = {"noskip": "none", "skip": "identity", "pool": "pool"}
        names = {"r": "repeats", "k": "kernel", "s": "stride", "e": "expansion", "c": "channels"}
        field: str
        value: str | float
        for position, token in enumerate(tokens, start=2):
            if token in skips:
                field, value = "skip", skips[token]
            elif match := re.fullmatch(r"se(\d*\.?\d+(?:e-\d+)?)", token):
                field, value = "se_ratio", float(match[1])
            elif match := re.fullmatch(r"([rksec])(\d{1,9})", token):
                field, value = names[match[1]], int(match[2])
            else:
                raise InputError(
                    f"{text!r}: token {position} is {token!r}; takes rN, "
                    "kN, sN, eN, cN, se0.N, noskip, skip, pool"
                )
            if field in found:
                raise InputError(
                    f"{text!r}: token {position} is {token!r}; {field} was said before"
                )
            found[field] = value
        found.setdefault("skip", "none" if code == "cn" else "identity")
        try:
            return cls(**_fields(cls, found, "block"))
        except InputError as error:
            raise error.at(f"{text!r}: ") from None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network of the MobileNetV2 family: stem conv, stages of blocks, 1×1 head conv, classifier.

    `resolution` is pixels a side of the square input. `dropout` works before the classifier;
    `drop_connect` grows with depth: block i of n has `drop_connect · i / n` (EfficientNet's
    release). `padding` is `symmetric`, k // 2 on all sides, or `same`, TensorFlow's: at stride 2
    and even sizes the odd pixel goes to the right and the bottom. Sizes and cost are the same,
    weights are not.
    """

    stages: tuple[Stage, ...]
    stem_channels: int = 32
    stem_stride: int = 2
    head_channels: int = 1280
    in_channels: int = 3
    resolution: int = 224
    classes: int = 1000
    activation: Activation = "relu"
    se_activation: Activation = "relu"
    dropout: float = 0.2
    drop_connect: float = 0.0
    bn_eps: float = 1e-5
    padding: Padding = "symmetric"

    def __post_init__(self) -> None:
        require(1 <= len(self.stages) <= 1000, "stages", len(self.stages), "1 to 1,000 stages")
        alike = all(
            s.op == "identity" and s.stride == 1 and s.channels == self.stem_channels
            for s in self.stages
        )
        require(not alike, "stages", "identities", "a network with a block")
        for name in (
            "stem_channels",
            "stem_stride",
            "head_channels",
            "in_channels",
            "resolution",
            "classes",
        ):
            _check_int(name, getattr(self, name))
        _check_choice("activation", self.activation, get_args(Activation))
        _check_choice("se_activation", self.se_activation, get_args(Activation))
        _check_choice("padding", self.padding, get_args(Padding))
        _check_share("dropout", self.dropout)
        _check_share("drop_connect", self.drop_connect)
        require(
            isinstance(self.bn_eps, float) and 0 < self.bn_eps < 1,
            "bn_eps",
            self.bn_eps,
            "a number above 0, below 1",
        )

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Every block in order, with channels, sizes, squeeze widths and shortcuts resolved."""
        blocks: list[Block] = []
        channels, size = self.stem_channels, self.stem_size
        total = sum(stage.repeats for stage in self.stages)
        for number, stage in enumerate(self.stages):
            kernel = 1 if stage.op == "identity" else stage.kernel
            for stride in [stage.stride] + [1] * (stage.repeats - 1):
                changes = stride != 1 or channels != stage.channels
                if stage.op == "identity" and not changes:
                    continue
                mid, shrunk = channels * stage.expansion, -(-size // stride)
                # From the block's *input* channels, as timm's `se` and the TF release count it.
                squeezed = max(1, int(channels * stage.se_ratio)) if stage.se_ratio else 0
                skip: Skip = "none" if stage.skip == "identity" and changes else stage.skip
                drop = self.drop_connect * len(blocks) / total if skip != "none" else 0.0
                # By position: to name the fields took a block twice as long, and a price a seventh
                # longer.
                block = Block(
                    number,
                    stage.op,
                    kernel,
                    stride,
                    channels,
                    mid,
                    stage.channels,
                    squeezed,
                    skip,
                    drop,
                    size,
                    shrunk,
                )
                blocks.append(block)
                channels, size = stage.channels, shrunk
        return tuple(blocks)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what was said, not what was worked out from it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def stem_size(self) -> int:
        """Pixels a side after the stem convolution."""
        return -(-self.resolution // self.stem_stride)

    @cached_property
    def digest(self) -> str:
        """Name the network that is built, in 16 hex digits: equal for descriptions that build the
        same.

        Stage boundaries and skips that no block can take do not count; all that changes what is
        computed, in training too, does. Fields at their default are left out, so that a field that
        is added some day leaves the digests of today alone.
        """
        ends = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[1:]}
        ends["dropout"] = float(self.dropout)  # 0 and 0.0 are one
        ends["drop_connect"] = 0.0  # resolved into the blocks
        if not any(block.se_channels for block in self.blocks):
            ends["se_activation"] = "relu"  # of no squeeze
        if self.stem_stride == 1 and all(block.stride == 1 for block in self.blocks):
            ends["padding"] = "symmetric"  # the two are one
        said = {
            f.name: ends[f.name] for f in dataclasses.fields(self)[1:] if ends[f.name] != f.default
        }
        content = json.dumps([said, [block[1:] for block in self.blocks]], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def block_strings(self) -> tuple[str, ...]:
        """The stages as block strings; `Stage.parse` reads them back."""
        return tuple(str(stage) for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """Return a plain object that `from_json` reads back."""
        return dataclasses.asdict(self) | {
            "stages": [dataclasses.asdict(stage) for stage in self.stages]
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: naming the stage and the field that is unknown, missing or impossible.
        """
        fields = _fields(cls, data, "architecture")
        if not isinstance(fields["stages"], list):
            raise InputError("architecture.stages: takes a list of stages")
        stages = []
        for number, stage in enumerate(fields["stages"], start=1):
            place = f"architecture.stage {number}"
            described = _fields(Stage, stage, place)
            try:
                stages.append(Stage(**described))
            except InputError as error:
                raise error.at(f"{place}.") from None
        try:
            return cls(**fields | {"stages": tuple(stages)})
        except InputError as error:
            raise error.at("architecture.") from None
