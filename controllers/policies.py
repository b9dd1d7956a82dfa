"""Distributions over genotypes that a controller can learn: one softmax for each decision.

Samples are drawn with uniform numbers that the caller gives, so that the caller's seed fixes them.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Policy(nn.Module, ABC):
    """A distribution over genotypes. D decisions have at most C answers."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        impossible = torch.arange(max(sizes)) >= torch.tensor(sizes)[:, None]  # [D, C]
        self.register_buffer("last", torch.tensor(sizes) - 1)  # [D]
        self.register_buffer(
            "mask", torch.zeros(impossible.shape).masked_fill(impossible, -torch.inf)
        )
        self.last: Tensor
        self.mask: Tensor

    @abstractmethod
    def log_probs(self, genotypes: Tensor) -> Tensor:
        """Return the log-probabilities of all answers along given genotypes: `[B, D]` to `[B, D,
        C]`.
        """

    @abstractmethod
    def sample(self, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Turn uniform numbers `[B, D]` into genotypes `[B, D]` and their log-probabilities `[B,
        D]`.
        """


def _drawn(chances: Tensor, uniforms: Tensor, last: Tensor) -> Tensor:
    """Return the answers in whose stretch of the cumulated probabilities the numbers fall: `[…,
    C]`, `[…]` to `[…]`.
    """
    answers = (uniforms[..., None] >= chances.exp().cumsum(-1)).sum(-1)
    return answers.minimum(last)  # rounded sums may end below the number


class Factorized(Policy):
    """Independent decisions: logits and nothing else."""

    def __init__(self, sizes: tuple[int, ...], logits: Tensor | None = None) -> None:
        super().__init__(sizes)
        self.logits = nn.Parameter(torch.zeros(self.mask.shape) if logits is None else logits)

    def log_probs(self, genotypes: Tensor) -> Tensor:
        """Return the same for every genotype."""
        return (self.logits + self.mask).log_softmax(-1).expand(len(genotypes), -1, -1)

    @torch.no_grad()
    def sample(self, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draw all decisions at once."""
        chances = self.log_probs(uniforms)
        answers = _drawn(chances, uniforms, self.last)
        return answers, chances.gather(-1, answers[..., None])[..., 0]


class LSTM(Policy):
    """NASNet's: one softmax for each decision, on a one-layer LSTM that reads the answers given so
    far.
    """

    def __init__(self, sizes: tuple[int, ...], units: int, rng: torch.Generator) -> None:
        super().__init__(sizes)
        decisions, widest = len(sizes), max(sizes)
        self.embed = nn.Parameter(
            torch.empty(decisions, widest, units)
        )  # of an answer, for the next step
        self.start = nn.Parameter(torch.empty(units))
        self.lstm = nn.LSTM(units, units, batch_first=True)
        self.weight = nn.Parameter(torch.empty(decisions, units, widest))
        self.bias = nn.Parameter(torch.empty(decisions, widest))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1, generator=rng)

    def log_probs(self, genotypes: Tensor) -> Tensor:
        """Read each genotype from left to right."""
        answered = self.embed[
            torch.arange(genotypes.shape[1] - 1), genotypes[:, :-1]
        ]  # [B, D-1, U]
        inputs = torch.cat([self.start.expand(len(genotypes), 1, -1), answered], dim=1)  # [B, D, U]
        hidden, _ = self.lstm(inputs)
        logits = torch.einsum("bdu,duc->bdc", hidden, self.weight) + self.bias + self.mask
        return logits.log_softmax(-1)

    @torch.no_grad()
    def sample(self, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draw decision by decision."""
        inputs, state = self.start.expand(len(uniforms), 1, -1), None
        answers, log_probs = [], []
        for decision in range(uniforms.shape[1]):
            hidden, state = self.lstm(inputs, state)
            logits = (
                hidden[:, 0] @ self.weight[decision] + self.bias[decision] + self.mask[decision]
            )
            chances = logits.log_softmax(-1)  # [B, C]
            answer = _drawn(chances, uniforms[:, decision], self.last[decision])
            answers.append(answer)
            log_probs.append(chances.gather(1, answer[:, None])[:, 0])
            inputs = self.embed[decision, answer][:, None]
        return torch.stack(answers, 1), torch.stack(log_probs, 1)
