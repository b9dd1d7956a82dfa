"""A search space as data: what is asked, and the network that a set of answers describes.

A space is a template architecture and a list of decisions, each about one field of one stage. It
writes itself to JSON, so that a journal holds all that is needed to decode its genotypes years
later.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from search_space.architecture import Architecture, Skip, Stage
from search_space.errors import InputError, require_known

Genotype = tuple[int, ...]
Choice = str | int | float


def _meaning(field: str, choice: Choice) -> dict[str, Any]:
    """Return the stage fields that a choice sets; an op may name the expansion too, and the kernel:
    `mbconv6_k5`.
    """
    if field != "op":
        return {field: choice}
    if match := re.fullmatch(r"mbconv(\d+)(?:_k(\d+))?", str(choice)):
        kernel = {"kernel": int(match[2])} if match[2] else {}
        return {"op": "mbconv", "expansion": int(match[1]), **kernel}
    return {"op": choice, "expansion": 1}


@dataclass(frozen=True, slots=True)
class Decision:
    """One question the space asks, and the answers it takes."""

    stage: int  # counted from 1
    field: str  # op, kernel, se_ratio, skip, channels, repeats …: a field of Stage
    choices: tuple[Choice, ...]

    @property
    def name(self) -> str:
        """`stage3.kernel`."""
        return f"stage{self.stage}.{self.field}"


def _skips_alike(architecture: Architecture, number: int) -> set[Skip]:
    """Return the skips that would build the same stage `number` (from 0) as the one it asks for."""
    skip = architecture.stages[number].skip
    blocks = [block for block in architecture.blocks if block.stage == number]
    fits = any(block.stride == 1 and block.in_channels == block.out_channels for block in blocks)
    return {skip} if fits or skip == "pool" else {"none", "identity"}


@dataclass(frozen=True)
class Space:
    """Genotypes and the architectures they stand for.

    The template gives all that is not asked: strides, stem, head, activation, resolution, classes.
    """

    template: Architecture
    decisions: tuple[Decision, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many choices each decision has. `[D]`"""
        return tuple(len(decision.choices) for decision in self.decisions)

    @property
    def size(self) -> int:
        """How many genotypes there are; some build the same network, and share its digest."""
        return math.prod(self.sizes)

    def decode(self, genotype: Genotype) -> Architecture:
        """Return the architecture that `genotype` (an index for each decision, `[D]`) stands for.

        Raises:
            InputError: when it has too many or too few numbers, or one is out of range.
        """
        if len(genotype) != len(self.decisions):
            raise InputError(
                f"genotype: {len(genotype)} numbers; this space "
                f"asks {len(self.decisions)} decisions"
            )
        return replace(
            self.template,
            stages=tuple([self.stage(n, genotype) for n in range(len(self._of_stage))]),
        )

    def stage(self, number: int, genotype: Genotype) -> Stage:
        """Return stage `number` (from 0) of what `decode` returns."""
        positions = self._of_stage[number]
        answers = tuple([genotype[position] for position in positions])
        if (number, answers) not in self._decoded:
            self._decoded[number, answers] = self._stage(number, positions, answers)
        return self._decoded[number, answers]

    @cached_property
    def _of_stage(self) -> list[list[int]]:
        """Which decisions ask about each stage."""
        count = len(self.template.stages)
        return [
            [p for p, d in enumerate(self.decisions) if d.stage == number]
            for number in range(1, count + 1)
        ]

    @cached_property
    def _decoded(self) -> dict[tuple[int, Genotype], Stage]:
        """The stages met so far: a search decodes the same few hundred again and again."""
        return {}

    def _stage(self, number: int, positions: list[int], answers: Genotype) -> Stage:
        """Return stage `number` (from 0) with these answers to the decisions at `positions`."""
        asked: dict[str, Any] = {}
        for position, index in zip(positions, answers, strict=True):
            decision = self.decisions[position]
            if not 0 <= index < len(decision.choices):
                raise InputError(
                    f"genotype.{decision.name}: {index}; takes 0 to {len(decision.choices) - 1}"
                )
            asked |= _meaning(decision.field, decision.choices[index])
        return replace(self.template.stages[number], **asked)

    def encode(self, architecture: Architecture) -> Genotype:
        """Return the first genotype that builds `architecture`'s stages. `[D]`

        Only stem, stages and head are compared. What the space lays over all its networks alike
        (activation, dropout, batch norm, resolution, input channels, classes) is the template's.

        Raises:
            InputError: naming the stage and the field that put the architecture outside.
        """
        for name in ("stem_channels", "stem_stride", "head_channels"):
            value, fixed = getattr(architecture, name), getattr(self.template, name)
            if value != fixed:
                raise InputError(f"{name}: {value} is outside the space; it takes {fixed}")
        if len(architecture.stages) != len(self.template.stages):
            raise InputError(
                f"stages: {len(architecture.stages)} is outside the "
                f"space; it takes {len(self.template.stages)}"
            )
        for number, fixed in enumerate(self.template.stages):
            asked = [decision for decision in self.decisions if decision.stage == number + 1]
            decided = {
                name for d in asked for choice in d.choices for name in _meaning(d.field, choice)
            }
            for field in Stage.__dataclass_fields__:
                if field in decided:
                    continue
                self._first((getattr(fixed, field),), architecture, number, field)
        return tuple(
            self._first(d.choices, architecture, d.stage - 1, d.field) for d in self.decisions
        )

    @staticmethod
    def _first(
        choices: tuple[Choice, ...], architecture: Architecture, number: int, field: str
    ) -> int:
        """Return the first of `choices` that says what `architecture` has in stage `number` (from
        0).
        """
        stage = architecture.stages[number]
        for index, choice in enumerate(choices):
            if field == "skip":
                if choice in _skips_alike(architecture, number):
                    return index
            elif all(
                getattr(stage, name) == value for name, value in _meaning(field, choice).items()
            ):
                return index
        value = (
            f"mbconv{stage.expansion}"
            if field == "op" and stage.op == "mbconv"
            else getattr(stage, field)
        )
        raise InputError(
            f"stage {number + 1}.{field}: {value} is outside the "
            f"space; it takes {', '.join(map(str, choices))}"
        )

    def answers(self, genotype: Genotype) -> dict[str, Choice]:
        """Return the answer to each decision, by its name, of a genotype that `decode` takes."""
        return {d.name: d.choices[index] for d, index in zip(self.decisions, genotype, strict=True)}

    def genotypes(self) -> Iterator[Genotype]:
        """Go through all genotypes, the last decision turning fastest."""
        return itertools.product(*map(range, self.sizes))

    def random(self, rng: np.random.Generator) -> Genotype:
        """Draw a genotype uniformly. `[D]`"""
        return tuple(rng.integers(self.sizes).tolist())

    def to_json(self) -> dict[str, Any]:
        """Return a plain object that `from_json` reads back."""
        decisions = [
            {"stage": d.stage, "field": d.field, "choices": list(d.choices)} for d in self.decisions
        ]
        return {"template": self.template.to_json(), "decisions": decisions}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: naming what is missing or impossible.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("decisions"), list):
            raise InputError("space: takes an object with template and decisions")
        template = Architecture.from_json(data.get("template"))
        decisions = []
        for position, item in enumerate(data["decisions"]):
            place = f"space.decisions[{position}]"
            if not isinstance(item, Mapping) or {"stage", "field", "choices"} != item.keys():
                raise InputError(f"{place}: takes an object with stage, field and choices")
            require_known(
                str(item["field"]),
                Stage.__dataclass_fields__,
                place=f"{place}.field ",
                owner="a decision",
            )
            if type(item["stage"]) is not int or not 1 <= item["stage"] <= len(template.stages):
                raise InputError(
                    f"{place}.stage: {item['stage']!r}; takes 1 to {len(template.stages)}"
                )
            if not isinstance(item["choices"], list) or not item["choices"]:
                raise InputError(f"{place}.choices: takes a list of at least one choice")
            decisions.append(Decision(item["stage"], item["field"], tuple(item["choices"])))
        return cls(template, tuple(decisions))
