"""The space of the coefficient search (EfficientNet, arXiv 1905.11946, §3.3, step 1).

Its genotypes are the triples of depth_base, width_base and resolution_base (the paper's α, β, γ) of
a grid that double the multiply-adds at φ = 1, |α·β²·γ² − 2| under a tolerance; each stands for the
baseline scaled by it. So the coefficient search is a search like any other: journalled, resumed,
inspected.
"""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from search_space.architecture import Architecture
from search_space.errors import InputError, require
from search_space.scaling import Coefficients, scale
from search_space.space import Decision, Genotype, Space


@dataclass(frozen=True)
class ScalingSpace(Space):
    """A baseline, and the coefficients that it may be scaled by; the one decision is which."""

    triples: tuple[Coefficients, ...]
    phi: float

    @classmethod
    def of(cls, baseline: Architecture, triples: tuple[Coefficients, ...], phi: float) -> Self:
        """Make the space of `baseline` scaled by each of `triples` at `phi`."""
        labels = tuple(f"{c.depth_base:g} {c.width_base:g} {c.resolution_base:g}" for c in triples)
        return cls(baseline, (Decision(1, "coefficients", labels),), triples, phi)

    @cached_property
    def _scaled(self) -> tuple[Architecture, ...]:
        return tuple(scale(self.template, triple.at(self.phi)) for triple in self.triples)

    def decode(self, genotype: Genotype) -> Architecture:
        """Return the scaled network; see `Space.decode`."""
        if len(genotype) != 1 or not 0 <= genotype[0] < len(self.triples):
            raise InputError(
                f"genotype: {genotype}; takes one number, 0 to {len(self.triples) - 1}"
            )
        return self._scaled[genotype[0]]

    def encode(self, architecture: Architecture) -> Genotype:
        """Return the first triple that scales the baseline to `architecture`; see
        `Space.encode`.
        """
        for index, scaled in enumerate(self._scaled):
            if scaled.digest == architecture.digest:
                return (index,)
        raise InputError("coefficients: no triple scales the baseline to this network")

    def to_json(self) -> dict[str, Any]:
        """Return a plain object that `from_json` reads back."""
        return {
            "baseline": self.template.to_json(),
            "phi": self.phi,
            "triples": [asdict(c) for c in self.triples],
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: naming what is missing or impossible.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("triples"), list):
            raise InputError("space: takes an object with baseline, phi and triples")
        baseline, phi = Architecture.from_json(data.get("baseline")), data.get("phi")
        if not isinstance(phi, int | float):
            raise InputError(f"space.phi: {phi!r}; takes a number")
        names = Coefficients.__dataclass_fields__.keys()
        triples = []
        for position, item in enumerate(data["triples"]):
            if (
                not isinstance(item, Mapping)
                or item.keys() != names
                or not all(
                    isinstance(value, (int, float)) and 0 < value < 100 for value in item.values()
                )
            ):
                raise InputError(
                    f"space.triples[{position}]: takes {', '.join(names)}, numbers above 0"
                )
            triples.append(Coefficients(**item))
        return cls.of(baseline, tuple(triples), phi)


def _grid(name: str, span: list[float], step: float) -> list[float]:
    require(
        len(span) == 2 and 1 <= span[0] <= span[1] <= 10,
        name,
        span,
        "two numbers, from 1 to 10, the lesser first",
    )
    return [
        round(span[0] + index * step, 6)
        for index in range(int((span[1] - span[0]) / step + 1e-9) + 1)
    ]


def scaling(
    *,
    baseline: dict[str, Any],
    phi: float = 1.0,
    depth: list[float] | None = None,
    width: list[float] | None = None,
    resolution: list[float] | None = None,
    step: float = 0.05,
    tolerance: float = 0.1,
) -> ScalingSpace:
    """Return the space of the coefficient search over a grid.

    The defaults, depth from 1 to 2, width and resolution from 1 to 1.5, in steps of 0.05 with a
    tolerance of 0.1, are 108 triples.

    Args:
        baseline: an architecture, as a spec has it.
        phi: the compound coefficient that every triple is tried at.
        depth: least and greatest depth_base.
        width: least and greatest width_base.
        resolution: least and greatest resolution_base.
        step: between the bases of the grid.
        tolerance: how far depth_base · width_base² · resolution_base² may be from 2.

    Raises:
        InputError: when no triple of the grid is within the tolerance.
    """
    require(0 <= phi <= 20, "phi", phi, "a number from 0 to 20")
    require(0.001 <= step <= 1, "step", step, "a number from 0.001 to 1")
    require(0 < tolerance <= 2, "tolerance", tolerance, "a number above 0, to 2")
    spans = (
        ("depth", depth or [1.0, 2.0]),
        ("width", width or [1.0, 1.5]),
        ("resolution", resolution or [1.0, 1.5]),
    )
    grids = [_grid(name, span, step) for name, span in spans]
    triples = tuple(
        Coefficients(depth_base=a, width_base=b, resolution_base=c)
        for a, b, c in itertools.product(*grids)
        if abs(a * b * b * c * c - 2) < tolerance
    )
    require(
        len(triples) > 0,
        "tolerance",
        tolerance,
        "one that some triple of the grid keeps: |α·β²·γ² − 2|",
    )
    return ScalingSpace.of(Architecture.from_json(baseline), triples, phi)
