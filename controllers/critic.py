"""What each answer is worth beside the others: the baseline of a policy whose decisions are
independent.

Wu et al. 2018, "Variance Reduction for Policy Gradient with Action-Dependent Factorized Baselines"
(arXiv 1803.07246): where decisions are drawn independently of each other, the baseline of one may
read all the others' answers and the gradient is still without bias. A linear model of all trials
told, one effect an answer, gives it. So a decision is no longer praised for what the other forty
have brought.

Differs from the paper: the model is ridge regression, not a neural network, and it is fitted to all
trials, whatever policy asked them.
"""

import torch
from torch import Tensor

from search_space.space import Genotype


class Critic:
    """Ridge regression of rewards on answers, D decisions of at most C answers each."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._places = torch.arange(len(sizes)) * max(sizes)  # of each decision's first answer; [D]
        effects = len(sizes) * max(sizes)
        # The penalty draws the effects to 0, for good where an answer was never tried; not the
        # mean.
        self._products = torch.eye(effects + 1, dtype=torch.float64)
        self._products[-1, -1] = 1e-6
        self._sums = torch.zeros(effects + 1, dtype=torch.float64)

    def tell(self, genotype: Genotype, reward: float) -> None:
        """Take in a trial."""
        answers = torch.zeros_like(self._sums)
        answers[self._places + torch.tensor(genotype)] = 1
        answers[-1] = 1
        self._products += torch.outer(answers, answers)
        self._sums += answers * reward

    def advantages(self, genotypes: Tensor, rewards: Tensor, chances: Tensor) -> Tensor:
        """Say how much better each decision was answered than the policy would have in the mean.
        `[B, D]`

        Args:
            genotypes: `[B, D]`.
            rewards: theirs. `[B]`
            chances: of the policy's answers. `[D, C]`
        """
        solved: Tensor = torch.linalg.solve(self._products, self._sums).float()
        effects, mean = solved[:-1], solved[-1]
        own = effects[self._places + genotypes]  # [B, D]
        expected = (chances * effects.view_as(chances)).sum(1)  # [D]
        unexplained = rewards - mean - own.sum(1)  # [B]
        advantages: Tensor = unexplained[:, None] + own - expected
        return advantages
