"""Any sampler of Optuna's on our spaces: TPE and its friends, as one more controller (pip install
'mnas[optuna]').

Akiba et al. 2019 (arXiv 1907.10902). Each decision is a categorical parameter. A sampler is a
function of its seed and of what it was asked and told in order, so replaying a journal restores it.
"""

import optuna

from controllers.base import Problem
from search_space.errors import InputError, require_known
from search_space.space import Genotype

SAMPLERS = ("TPESampler", "NSGAIISampler", "RandomSampler", "GPSampler")


class OptunaSampler:
    """Let a sampler answer the decisions, and tell it the rewards."""

    def __init__(self, problem: Problem, seed: int, *, sampler: str = "TPESampler") -> None:
        require_known(sampler, SAMPLERS, place="sampler: ", owner="it")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = problem.space
        made = getattr(optuna.samplers, sampler)(seed=seed % 2**32)
        self._study = optuna.create_study(direction="maximize", sampler=made)
        self._open: dict[int, optuna.Trial] = {}

    def ask(self, trial: int) -> Genotype:
        """Suggest an answer to each decision."""
        asked = self._open[trial] = self._study.ask()
        names = (f"{place} {decision.name}" for place, decision in enumerate(self._space.decisions))
        return tuple(
            asked.suggest_categorical(name, range(size))
            for name, size in zip(names, self._space.sizes, strict=True)
        )

    def given(self, trial: int, genotype: Genotype) -> None:
        """Put the genotype in the sampler's queue, and ask."""
        names = (f"{place} {decision.name}" for place, decision in enumerate(self._space.decisions))
        self._study.enqueue_trial(dict(zip(names, genotype, strict=True)))
        if self.ask(trial) != genotype:
            raise InputError(f"trial {trial}: Optuna has another trial in its queue")

    def tell(self, trial: int, genotype: Genotype, reward: float) -> None:
        """Report the reward."""
        self._study.tell(self._open.pop(trial), reward)
