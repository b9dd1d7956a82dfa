"""Reinforcement learning: a policy over genotypes, trained with proximal policy optimisation.

Schulman et al. 2017 (arXiv 1707.06347), Eq. 7. `mnasnet` is the RL controller of MnasNet (arXiv
1807.11626, §4.2) and EfficientNet, which have it from NASNet (Zoph et al. 2018, arXiv 1707.07012,
App. A): a one-layer LSTM of 100 units answers the decisions one after the other, each answer fed to
the next step; weights start uniform in ±0.1; 20 architectures an update; the baseline is a moving
average of rewards with decay 0.95. It was made for 8,000 trials.

Differs from the papers, or is not stated there:
- The optimizer (Adam, β 0.9 and 0.999), the clip (0.2) and the passes over a batch (5) are not
  stated.
- The ratio is clipped for each decision, not for the whole genotype: a product of 42 ratios would
  be clipped nearly always.
- The baseline starts at the first batch's mean, not at 0.
- Trials come back `window` later than they were asked. The ratio is taken against the probabilities
  of the policy that asked, kept with each trial.

`PPO` itself is for budgets from 100 trials up. What it has more (benchmarks/search_efficiency.py
--controller "ppo, …" measures it without each of them):
- `fresh`: instead of a network that was asked another one is drawn. The policy can settle, and
  still the search goes on around it. Where asking again means training again (`reuse = false`),
  only every other trial must be a new one: where the policy asks for one that it had, that trains
  again which may be the best (`Repeats.worth_another`, once a few repeats have shown the noise), so
  that the best is known well, and has not just been lucky once.
- a factorized policy, small batches and a high learning rate.
- `critic`: a learnt baseline for each decision of the factorized policy (`critic.py`).
- `standardise`: advantages in units of a moving average of the rewards' standard deviation.
- `replay`: each update also learns from the best trials of all times, as if they had been asked
  now.
- `centre`: it starts at the distribution nearest to uniform whose costs have the target for their
  geometric mean.
"""

import contextlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from controllers.base import Problem, generator
from controllers.critic import Critic
from controllers.policies import LSTM, Factorized, Policy
from controllers.repeats import Repeats
from controllers.visited import Seen
from search_space.errors import require
from search_space.space import Genotype


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Pin torch's threads: sums must not hang on how many the machine, or a child, has set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _centred(problem: Problem) -> Tensor:
    """Return logits of the product distribution nearest to uniform whose mean log-cost is the
    target's. `[D, C]`

    By the effect of each answer on the log-cost, in a sample: p ∝ exp(−λ · effect), λ by bisection.
    """
    sizes, rng = problem.space.sizes, np.random.default_rng(0)
    sample = [problem.space.random(rng) for _ in range(1000)]
    over = np.log(problem.weigh(sample).ratio)  # the target's logarithm is 0
    answers, effects = np.array(sample), np.zeros((len(sizes), max(sizes)))
    for decision, size in enumerate(sizes):
        for choice in range(size):
            effects[decision, choice] = over[answers[:, decision] == choice].mean() - over.mean()
    possible = np.arange(max(sizes)) < np.array(sizes)[:, None]

    def mean(tilt: float) -> float:
        chances = np.exp(-tilt * effects) * possible
        return float(over.mean() + (chances / chances.sum(1, keepdims=True) * effects).sum())

    low, high = -20.0, 20.0  # more than that would rule answers out
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) > 0 else (low, middle)
    return torch.from_numpy(-low * effects).float()


class PPO:
    """Proximal policy optimisation of a policy over the space's decisions."""

    def __init__(
        self,
        problem: Problem,
        seed: int,
        *,
        policy: Literal["factorized", "lstm"] = "factorized",
        units: int = 100,  # of the LSTM
        lr: float = 0.1,
        batch: int = 10,
        passes: int = 3,
        clip: float = 0.2,
        entropy: float = 0.2,
        baseline_decay: float = 0.9,
        critic: bool = True,  # of the factorized policy
        standardise: bool = True,
        replay: int = 5,
        fresh: bool = True,
        centre: bool = True,  # of the factorized policy
    ) -> None:
        require(0 < lr < 1, "lr", lr, "a number between 0 and 1")
        require(2 <= batch <= 10_000, "batch", batch, "2 to 10,000 trials an update")
        require(1 <= passes <= 1000, "passes", passes, "1 to 1,000")
        require(0 < clip < 1, "clip", clip, "a number between 0 and 1")
        require(0 <= entropy < 1, "entropy", entropy, "a number from 0 to below 1")
        require(
            0 <= baseline_decay < 1, "baseline_decay", baseline_decay, "a number from 0 to below 1"
        )
        require(1 <= units <= 10_000, "units", units, "1 to 10,000")
        require(0 <= replay <= 10_000, "replay", replay, "0 to 10,000 trials")
        self._sizes, self._seed = problem.space.sizes, seed
        self._batch, self._passes, self._clip, self._entropy = batch, passes, clip, entropy
        self._baseline_decay, self._standardise, self._replay = baseline_decay, standardise, replay
        self._seen, self._fresh = Seen(problem.space), fresh
        self._repeats, self._weigh = Repeats() if problem.repeats else None, problem.weigh
        self._critic = Critic(self._sizes) if critic and policy == "factorized" else None
        self.policy: Policy
        if policy == "lstm":
            self.policy = LSTM(self._sizes, units, torch.Generator().manual_seed(seed))
        else:
            self.policy = Factorized(self._sizes, _centred(problem) if centre else None)
        self._optimizer = torch.optim.Adam(self.policy.parameters(), lr=lr, foreach=True)
        # Trial -> genotypes that the policy as it is would ask, and their log-probabilities. [K, D]
        # each
        self._proposed: dict[int, tuple[Tensor, Tensor]] = {}
        self._asked: dict[int, Tensor] = {}  # trial -> log-probabilities [D] it was asked with
        self._told: list[tuple[Genotype, Tensor, float]] = []  # since the last update
        self._best: list[tuple[float, Genotype]] = []
        self._level: tuple[float, float] | None = (
            None  # of rewards: moving averages of mean and standard deviation
        )

    def ask(self, trial: int) -> Genotype | None:
        """Sample from the policy; if need be, often, and then near it."""
        if trial not in self._proposed:
            self._propose(range(trial, trial + self._batch))
        answers, log_probs = self._proposed.pop(trial)
        repeats = self._repeats if self._fresh and trial % 2 == 0 else None
        for genotype, chances in zip(map(tuple, answers.tolist()), log_probs, strict=True):
            if repeats is not None and not repeats.useless and genotype in self._seen:
                again = repeats.worth_another() or genotype
                self.given(trial, again)
                return again
            if not self._fresh or genotype not in self._seen:
                self._take(trial, genotype, chances)
                return genotype
        near = self._near(genotype, generator(self._seed, trial))
        if near is not None:
            self.given(trial, near)
        return near

    def _propose(self, trials: range) -> None:
        """Sample for a whole batch of trials at once, as the policy stands still between
        updates.
        """
        shape = 30 if self._fresh else 1, len(self._sizes)
        uniforms = np.concatenate([generator(self._seed, trial).random(shape) for trial in trials])
        with _one_thread():
            answers, log_probs = self.policy.sample(torch.from_numpy(uniforms).float())
        per_trial = len(trials), *shape
        proposals = zip(answers.view(per_trial), log_probs.view(per_trial), strict=True)
        self._proposed = dict(zip(trials, proposals, strict=True))

    def _near(self, genotype: Genotype, rng: np.random.Generator) -> Genotype | None:
        """Answer ever more decisions anew until the network was not asked."""
        for attempt in range(100):
            mutant = list(genotype)
            for decision in rng.choice(
                len(mutant), size=min(len(mutant), 1 + attempt // 10), replace=False
            ):
                mutant[decision] = int(rng.integers(self._sizes[decision]))
            if tuple(mutant) not in self._seen:
                return tuple(mutant)
        return self._seen.fresh(rng)

    def given(self, trial: int, genotype: Genotype) -> None:
        """Keep the probabilities that the policy gives it now."""
        with _one_thread(), torch.no_grad():
            answers = torch.tensor([genotype])
            self._take(
                trial,
                genotype,
                self.policy.log_probs(answers).gather(2, answers[:, :, None])[0, :, 0],
            )

    def _take(self, trial: int, genotype: Genotype, log_probs: Tensor) -> None:
        self._seen.add(genotype)
        self._asked[trial] = log_probs
        if self._repeats:
            self._repeats.ask(genotype)

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Keep the trial; with the last of a batch, improve the policy."""
        self._told.append((genotype, self._asked.pop(trial), reward))
        if (
            self._repeats and reward > self._weigh([genotype]).intercept[0]
        ):  # else it failed: not measured
            self._repeats.tell(genotype, reward)
        if self._critic:
            self._critic.tell(genotype, reward)
        self._best = sorted([*self._best, (reward, genotype)], key=lambda best: -best[0])[
            : self._replay
        ]
        if len(self._told) == self._batch:
            with _one_thread():
                self._update()
            self._told, self._proposed = [], {}

    def _advantages(self, genotypes: Tensor, rewards: Tensor) -> Tensor:
        """Compare a batch's rewards with what was to be expected: `[B, D]`, `[B]` to `[B, D]`."""
        mean, spread = rewards.mean().item(), rewards.std().item()
        before = self._level or (mean, spread)
        decay = self._baseline_decay
        self._level = (
            decay * before[0] + (1 - decay) * mean,
            decay * before[1] + (1 - decay) * spread,
        )
        if self._critic:
            chances = self.policy.log_probs(genotypes)[0].detach().exp()  # the same for all
            advantages = self._critic.advantages(genotypes, rewards, chances)
        else:
            advantages = (rewards - before[0])[:, None].expand(
                genotypes.shape
            )  # the same for all decisions
        return advantages / (before[1] + 1e-6 if self._standardise else 1)

    def _update(self) -> None:
        genotypes = torch.tensor([genotype for genotype, _, _ in self._told])  # [B, D]
        behaviour = torch.stack([log_probs for _, log_probs, _ in self._told])  # [B, D]
        advantage = self._advantages(
            genotypes, torch.tensor([reward for _, _, reward in self._told])
        )  # [B, D]
        if self._best:
            best = torch.tensor([genotype for _, genotype in self._best])  # [E, D]
            now = self.policy.log_probs(best).detach().gather(2, best[:, :, None])[:, :, 0]
            genotypes, behaviour = torch.cat([genotypes, best]), torch.cat([behaviour, now])
            advantage = torch.cat(
                [advantage, torch.ones(best.shape)]
            )  # a standard deviation better than expected
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


def mnasnet(
    problem: Problem,
    seed: int,
    *,
    lr: float = 3.5e-4,
    batch: int = 20,
    passes: int = 5,
    clip: float = 0.2,
    entropy: float = 1e-5,
    baseline_decay: float = 0.95,
    units: int = 100,
) -> PPO:
    """Return the papers' controller."""
    return PPO(
        problem,
        seed,
        policy="lstm",
        units=units,
        lr=lr,
        batch=batch,
        passes=passes,
        clip=clip,
        entropy=entropy,
        baseline_decay=baseline_decay,
        standardise=False,
        replay=0,
        fresh=False,
    )
