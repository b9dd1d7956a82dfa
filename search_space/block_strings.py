"""The block strings of timm and of TensorFlow's release, written and read.

timm (`timm.models._efficientnet_builder.decode_arch_def`): `ir_r2_k5_s2_e6_c40_se0.25`; ours are
the same, but timm has no pooling skip, and no squeeze-and-excitation behind a plain convolution.
TensorFlow (tensorflow/tpu, mnasnet and efficientnet): `r2_k5_s22_e6_i24_o40_se0.25`, with the
channels in and out; it has no plain convolution and no pooling skip.

Both count the SE ratio from a block's input channels, have a 3×3 stem of stride 2, and leave
activation, batch norm and dropout to keywords.
"""

import re
from collections.abc import Sequence
from typing import Any

from search_space.architecture import Activation, Architecture, Op, Stage
from search_space.errors import InputError
from search_space.scaling import round_channels


def _refuse(grammar: str, place: str, value: object, takes: str) -> InputError:
    return InputError(f"{place}: {value} can't be said in {grammar}'s strings; they take {takes}")


def _check(architecture: Architecture, grammar: str) -> None:
    """Refuse what neither grammar can say, naming the stage and the field."""
    if architecture.stem_stride != 2:
        raise _refuse(grammar, "stem_stride", architecture.stem_stride, "2")
    squeezed = any(block.se_channels for block in architecture.blocks)
    if squeezed and architecture.se_activation != architecture.activation:
        raise _refuse(
            grammar,
            "se_activation",
            architecture.se_activation,
            f"the network's, {architecture.activation}",
        )
    for number, stage in enumerate(architecture.stages, start=1):
        if stage.skip == "pool":
            raise _refuse(grammar, f"stage {number}.skip", "pool", "identity and none")


def to_timm(architecture: Architecture) -> dict[str, Any]:
    """Return what makes timm's EfficientNet build this network: `arch_def` and keywords, as plain
    data.

    `decode_arch_def(arch_def)` and the keywords go to timm's EfficientNet, with `act_layer` and
    `norm_eps` turned into its layers: README shows it.

    Raises:
        InputError: naming the stage and the field that timm's grammar can't say.
    """
    _check(architecture, "timm")
    for place, channels in (
        ("stem_channels", architecture.stem_channels),
        *(
            (f"stage {number}.channels", stage.channels)
            for number, stage in enumerate(architecture.stages, start=1)
        ),
    ):
        if round_channels(channels) != channels:
            raise _refuse(
                "timm",
                place,
                channels,
                f"what its rounding leaves alone, {round_channels(channels)}",
            )
    for number, stage in enumerate(architecture.stages, start=1):
        if stage.op == "identity":
            raise _refuse("timm", f"stage {number}.op", stage.op, "conv, sepconv and mbconv")
    for block in architecture.blocks:
        if block.se_channels and block.op == "conv":
            ratio = architecture.stages[block.stage].se_ratio
            raise _refuse("timm", f"stage {block.stage + 1}.se_ratio", ratio, "0 with op conv")
        # timm rounds where the release (and we) cut off.
        ratio = architecture.stages[block.stage].se_ratio
        if block.se_channels and round(block.in_channels * ratio) != block.se_channels:
            raise _refuse(
                "timm", f"stage {block.stage + 1}.se_ratio", ratio, "a whole number of channels"
            )
    return {
        "arch_def": [[text] for text in architecture.block_strings],
        "num_classes": architecture.classes,
        "num_features": architecture.head_channels,
        "in_chans": architecture.in_channels,
        "stem_size": architecture.stem_channels,
        "act_layer": architecture.activation,
        "norm_eps": architecture.bn_eps,
        "drop_rate": architecture.dropout,
        "drop_path_rate": architecture.drop_connect,
        "pad_type": "same" if architecture.padding == "same" else "",
    }


def from_timm(
    arch_def: Sequence[Sequence[str] | str],
    *,
    num_classes: int = 1000,
    num_features: int = 1280,
    in_chans: int = 3,
    stem_size: int = 32,
    act_layer: Activation = "relu",
    norm_eps: float = 1e-5,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    pad_type: str = "",
    resolution: int = 224,
) -> Architecture:
    """Read timm's block strings and keywords, as `to_timm` writes them.

    Args:
        arch_def: a list or a string for each stage, as in timm's source, without its multipliers.
        num_classes: our `classes`.
        num_features: our `head_channels`.
        in_chans: our `in_channels`.
        stem_size: our `stem_channels`.
        act_layer: the activation, inside SE too.
        norm_eps: of batch norm.
        drop_rate: our `dropout`.
        drop_path_rate: our `drop_connect`.
        pad_type: "same" is TensorFlow's padding.
        resolution: pixels a side, of which timm's keywords do not speak.

    Raises:
        InputError: naming the stage and the token that can't be read.
    """
    stages = []
    for number, strings in enumerate(arch_def, start=1):
        texts = [strings] if isinstance(strings, str) else list(strings)
        if len(texts) != 1:
            raise InputError(
                f"stage {number}: {len(texts)} block strings; takes one, of equal blocks"
            )
        try:
            stages.append(Stage.parse(texts[0]))
        except InputError as error:
            raise error.at(f"stage {number}: ") from None
    return Architecture(
        stages=tuple(stages),
        classes=num_classes,
        head_channels=num_features,
        in_channels=in_chans,
        stem_channels=stem_size,
        activation=act_layer,
        se_activation=act_layer,
        bn_eps=norm_eps,
        dropout=drop_rate,
        drop_connect=drop_path_rate,
        padding="same" if pad_type == "same" else "symmetric",
        resolution=resolution,
    )


def to_tf(architecture: Architecture) -> list[str]:
    """Return TensorFlow's block strings.

    Raises:
        InputError: naming the stage and the field that its grammar can't say.
    """
    _check(architecture, "TensorFlow")
    strings = []
    channels = architecture.stem_channels
    for number, stage in enumerate(architecture.stages, start=1):
        if stage.op in ("conv", "identity"):
            raise _refuse("TensorFlow", f"stage {number}.op", stage.op, "sepconv and mbconv")
        if stage.stride > 9:
            raise _refuse("TensorFlow", f"stage {number}.stride", stage.stride, "1 to 9")
        parts = [
            f"r{stage.repeats}",
            f"k{stage.kernel}",
            f"s{stage.stride}{stage.stride}",
            f"e{stage.expansion}",
        ]
        parts += [f"i{channels}", f"o{stage.channels}"]
        parts += [f"se{stage.se_ratio!r}"] if stage.se_ratio else []
        parts += ["noskip"] if stage.skip == "none" else []
        strings.append("_".join(parts))
        channels = stage.channels
    return strings


_TF_TOKEN = re.compile(r"(?P<name>se|[rkseio])(?P<value>\d{0,9}\.?\d{1,20}(?:e-\d+)?)")
_TF_FIELDS = {
    "r": "repeats",
    "k": "kernel",
    "s": "stride",
    "e": "expansion",
    "i": "in",
    "o": "channels",
}


def _tf_stage(text: str) -> tuple[int, Stage]:
    """Read one string; return the channels it takes in, and the stage."""
    found: dict[str, Any] = {}
    field: str
    value: str | float
    for position, token in enumerate(text.split("_"), start=1):
        match = _TF_TOKEN.fullmatch(token)
        if token == "noskip":
            field, value = "skip", "none"
        elif match and match["name"] == "se":
            field, value = "se_ratio", float(match["value"])
        elif match and match["value"].isdigit():
            field, value = _TF_FIELDS[match["name"]], int(match["value"])
        else:
            raise InputError(
                f"token {position} is {token!r}; takes rN, kN, sNN, eN, iN, oN, se0.N, noskip"
            )
        if field in found:
            raise InputError(f"token {position} is {token!r}; {field} was said before")
        found[field] = value
    missing = [letter for letter, field in _TF_FIELDS.items() if field not in found]
    if missing:
        raise InputError(f"{missing[0]}: missing; takes rN, kN, sNN, eN, iN and oN")
    channels = found.pop("in")
    rows, columns = divmod(found["stride"], 10)
    if rows != columns:
        raise InputError(f"stride {found['stride']}; takes the same both ways: 11 or 22")
    op: Op = "sepconv" if found["expansion"] == 1 else "mbconv"
    return channels, Stage(op=op, **found | {"stride": rows})


def from_tf(strings: Sequence[str], **fields: Any) -> Architecture:
    """Read TensorFlow's block strings; the stem has the channels that the first one takes in.

    Args:
        strings: one for each stage.
        fields: the architecture's other fields, under our names.

    Raises:
        InputError: naming the stage and the token that can't be read.
    """
    stages: list[Stage] = []
    for number, text in enumerate(strings, start=1):
        try:
            channels, stage = _tf_stage(text)
            if stages and channels != stages[-1].channels:
                raise InputError(
                    f"i{channels}; takes i{stages[-1].channels}, what stage {number - 1} puts out"
                )
        except InputError as error:
            raise error.at(f"stage {number}, {text!r}: ") from None
        if not stages and fields.setdefault("stem_channels", channels) != channels:
            raise InputError(
                f"stem_channels: {fields['stem_channels']}; the first string takes i{channels}"
            )
        stages.append(stage)
    return Architecture(stages=tuple(stages), **fields)
