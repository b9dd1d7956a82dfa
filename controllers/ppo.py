"""The RL controller of MnasNet: an LSTM policy trained with proximal policy optimisation.

Zoph et al. 2018, "Learning Transferable Architectures" (NASNet, arXiv 1707.07012, App. A), which
MnasNet (arXiv 1807.11626, §4.2) and EfficientNet follow: a one-layer LSTM of 100 units answers the
decisions one after the other, each answer fed to the next step; weights start uniform in ±0.1; 20
architectures an update; the baseline is a moving average of rewards with decay 0.95. PPO: Schulman
et al. 2017 (arXiv 1707.06347), Eq. 7.

Differs from the paper, or is not stated there:
- The optimizer (Adam, β 0.9 and 0.999), the clip (0.2) and the passes over a batch (5) are not stated.
- The ratio is clipped for each decision, not for the whole genotype: a product of 42 ratios would
  be clipped nearly always.
- The baseline starts at the first batch's mean, not at 0.
- Trials come back `window` later than they were asked. The ratio is taken against the probabilities
  of the policy that asked, kept with each trial.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from controllers.base import generator
from search_space.errors import require
from search_space.space import Genotype, Space


class Policy(nn.Module):
    """One softmax for each decision, on an LSTM that reads the answers given so far."""

    def __init__(self, sizes: tuple[int, ...], units: int, rng: torch.Generator) -> None:
        super().__init__()
        decisions, widest = len(sizes), max(sizes)
        self.embed = nn.Parameter(torch.empty(decisions, widest, units))  # of an answer, for the next step
        self.start = nn.Parameter(torch.empty(units))
        self.lstm = nn.LSTM(units, units, batch_first=True)
        self.weight = nn.Parameter(torch.empty(decisions, units, widest))
        self.bias = nn.Parameter(torch.empty(decisions, widest))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1, generator=rng)
        impossible = torch.arange(widest) >= torch.tensor(sizes)[:, None]  # [D, C]
        self.register_buffer("last", torch.tensor(sizes) - 1)  # [D]
        self.register_buffer("mask", torch.zeros(decisions, widest).masked_fill(impossible, -torch.inf))
        self.last: Tensor
        self.mask: Tensor

    def log_probs(self, genotypes: Tensor) -> Tensor:
        """Return the log-probabilities of all answers along given genotypes: `[B, D]` to `[B, D, C]`."""
        answered = self.embed[torch.arange(genotypes.shape[1] - 1), genotypes[:, :-1]]  # [B, D-1, U]
        inputs = torch.cat([self.start.expand(len(genotypes), 1, -1), answered], dim=1)  # [B, D, U]
        hidden, _ = self.lstm(inputs)
        logits = torch.einsum("bdu,duc->bdc", hidden, self.weight) + self.bias + self.mask
        return logits.log_softmax(-1)

    @torch.no_grad()
    def sample(self, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Turn uniform numbers `[B, D]` into genotypes `[B, D]` and their log-probabilities `[B, D]`."""
        inputs, state = self.start.expand(len(uniforms), 1, -1), None
        answers, log_probs = [], []
        for decision in range(uniforms.shape[1]):
            hidden, state = self.lstm(inputs, state)
            logits = hidden[:, 0] @ self.weight[decision] + self.bias[decision] + self.mask[decision]
            chances = logits.log_softmax(-1)  # [B, C]
            # The answer in whose stretch of the cumulated probabilities the number falls.
            cumulated = chances.exp().cumsum(-1)
            answer = (uniforms[:, decision, None] >= cumulated).sum(-1)  # [B]
            answer = answer.minimum(self.last[decision])  # rounded sums may end below the number
            answers.append(answer)
            log_probs.append(chances.gather(1, answer[:, None])[:, 0])
            inputs = self.embed[decision, answer][:, None]
        return torch.stack(answers, 1), torch.stack(log_probs, 1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Pin torch's threads: sums must not hang on how many the machine, or a child, has set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class PPO:
    """Proximal policy optimisation of an LSTM policy over the space's decisions."""

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        lr: float = 3.5e-4,
        batch: int = 20,
        passes: int = 5,
        clip: float = 0.2,
        entropy: float = 1e-5,
        baseline_decay: float = 0.95,
        units: int = 100,
    ) -> None:
        require(0 < lr < 1, "lr", lr, "a number between 0 and 1")
        require(2 <= batch <= 10_000, "batch", batch, "2 to 10,000 trials an update")
        require(1 <= passes <= 1000, "passes", passes, "1 to 1,000")
        require(0 < clip < 1, "clip", clip, "a number between 0 and 1")
        require(0 <= entropy < 1, "entropy", entropy, "a number from 0 to below 1")
        require(0 <= baseline_decay < 1, "baseline_decay", baseline_decay, "a number from 0 to below 1")
        require(1 <= units <= 10_000, "units", units, "1 to 10,000")
        self._seed, self._decisions = seed, len(space.decisions)
        self._batch, self._passes, self._clip, self._entropy = batch, passes, clip, entropy
        self._baseline_decay = baseline_decay
        self.policy = Policy(space.sizes, units, torch.Generator().manual_seed(seed))
        self._optimizer = torch.optim.Adam(self.policy.parameters(), lr=lr, foreach=True)
        self._proposed: dict[int, tuple[Genotype, Tensor]] = {}  # by the policy as it is, not asked yet
        self._asked: dict[int, Tensor] = {}  # trial -> log-probabilities [D] it was asked with
        self._told: list[tuple[Genotype, Tensor, float]] = []  # since the last update
        self._baseline: float | None = None

    def ask(self, trial: int) -> Genotype:
        """Sample from the policy; a whole batch of trials at once, as it stands still between updates."""
        if trial not in self._proposed:
            self._propose(range(trial, trial + self._batch))
        genotype, self._asked[trial] = self._proposed.pop(trial)
        return genotype

    def _propose(self, trials: range) -> None:
        uniforms = np.stack([generator(self._seed, trial).random(self._decisions) for trial in trials])
        with _one_thread():
            answers, log_probs = self.policy.sample(torch.from_numpy(uniforms).float())
        genotypes = map(tuple, answers.tolist())
        self._proposed = {t: (g, p) for t, g, p in zip(trials, genotypes, log_probs, strict=True)}

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Keep the trial; with the last of a batch, improve the policy."""
        self._told.append((genotype, self._asked.pop(trial), reward))
        if len(self._told) == self._batch:
            with _one_thread():
                self._update()
            self._told, self._proposed = [], {}

    def _update(self) -> None:
        genotypes = torch.tensor([genotype for genotype, _, _ in self._told])  # [B, D]
        behaviour = torch.stack([log_probs for _, log_probs, _ in self._told])  # [B, D]
        rewards = torch.tensor([reward for _, _, reward in self._told])  # [B]
        mean = rewards.mean().item()
        if self._baseline is None:
            self._baseline = mean
        advantage = rewards - self._baseline
        self._baseline = self._baseline_decay * self._baseline + (1 - self._baseline_decay) * mean
        advantage = advantage[:, None]  # the same for all decisions of a genotype
        for _ in range(self._passes):
            log_probs = self.policy.log_probs(genotypes)  # [B, D, C]
            chosen = log_probs.gather(2, genotypes[:, :, None])[:, :, 0]  # [B, D]
            ratio = (chosen - behaviour).exp()
            clipped = ratio.clamp(1 - self._clip, 1 + self._clip)
            gain = torch.minimum(ratio * advantage, clipped * advantage).mean()  # (Eq. 7)
            # Impossible answers have log-probability −inf and probability 0: they count nothing.
            entropy = -(log_probs.exp() * log_probs.clamp_min(-1e4)).sum(-1).mean()
            self._optimizer.zero_grad()
            (-gain - self._entropy * entropy).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
