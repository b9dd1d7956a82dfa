"""The costs of many genotypes at once, for those who weigh thousands of them before each trial.

What a stage costs hangs on its own answers and on the channels and pixels that come in, so each
case is worked out once, by `cost.py`, and looked up from then on: a microsecond a genotype.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture, Stage
from search_space.cost import Cost, blocks_cost, cost, ends_cost
from search_space.space import Genotype, Space

# Behind the stage that is priced: a network needs a block, and an identity may be none.
_BEHIND = Stage(op="conv", kernel=1, stride=1, channels=1, repeats=1)


class Pricing:
    """Prices genotypes of one space; equal to `cost(space.decode(genotype))` for each."""

    def __init__(self, space: Space) -> None:
        self._space = space
        stages = range(1, len(space.template.stages) + 1)
        self._positions = [
            [p for p, d in enumerate(space.decisions) if d.stage == stage] for stage in stages
        ]
        sizes = [[space.sizes[position] for position in positions] for positions in self._positions]
        # Answers to a stage's decisions as one number, the last turning fastest.
        self._places = [
            np.array([np.prod(s[i + 1 :]) for i in range(len(s))], np.int64) for s in sizes
        ]
        # Channels and pixels met between stages, by number, and what stem, head and classifier cost
        # around each.
        self._shapes: dict[tuple[int, int], int] = {}
        self._ends: list[Cost] = []
        # (stage, number of the shape before, answers) -> row of what it costs, with the number of
        # the shape behind.
        self._cases: dict[tuple[int, int, int], int] = {}
        self._rows = np.zeros((0, 4), np.int64)

    def __call__(self, genotypes: Sequence[Genotype]) -> NDArray[np.int64]:
        """Return MACs, parameters and activations. `[N, D]` to `[N, 3]`"""
        if type(self._space) is not Space:  # a decision there may change more than its stage
            return np.array(
                [cost(self._space.decode(genotype)) for genotype in genotypes], np.int64
            ).reshape(-1, 3)
        answers = np.array(genotypes, np.int64).reshape(len(genotypes), -1)
        template = self._space.template
        shapes = np.full(len(answers), self._number(template.stem_channels, template.stem_size))
        costs = np.zeros((len(answers), 3), np.int64)
        for stage, (positions, places) in enumerate(
            zip(self._positions, self._places, strict=True)
        ):
            asked = answers[:, positions] @ places  # [N]
            _, firsts, inverse = np.unique(
                asked * 4096 + shapes, return_index=True, return_inverse=True
            )
            found = zip(shapes[firsts].tolist(), asked[firsts].tolist(), strict=True)
            cases = [(stage, shape, answer) for shape, answer in found]
            self._work_out(
                {
                    c: genotypes[i]
                    for c, i in zip(cases, firsts.tolist(), strict=True)
                    if c not in self._cases
                }
            )
            met = self._rows[[self._cases[case] for case in cases]][inverse]  # [N, 4]
            costs += met[:, :3]
            shapes = met[:, 3]
        costs += np.array(self._ends, np.int64).reshape(-1, 3)[shapes]
        return costs

    def _number(self, channels: int, size: int) -> int:
        if (channels, size) not in self._shapes:
            self._shapes[channels, size] = len(self._shapes)
            self._ends.append(ends_cost(self._space.template, channels, size))
        return self._shapes[channels, size]

    def _work_out(self, cases: dict[tuple[int, int, int], Genotype]) -> None:
        """Price what was not met before: each case by a genotype that has it."""
        shapes, rows = list(self._shapes), []
        for (stage, shape, answers), genotype in cases.items():
            channels, size = shapes[shape]
            stages = self._space.stage(stage, genotype), _BEHIND
            alone = Architecture(
                stages=stages, stem_channels=channels, stem_stride=1, resolution=size
            )
            *blocks, behind = alone.blocks
            rows.append([*blocks_cost(blocks), self._number(behind.in_channels, behind.in_size)])
            self._cases[stage, shape, answers] = len(self._cases)
        self._rows = np.concatenate([self._rows, np.array(rows, np.int64).reshape(-1, 4)])
