"""Our controllers inside Ray Tune: a Searcher for a Tuner of the user's own, with its schedulers
and loggers.

`mnas search` keeps its own loop: its journal survives what Tune's snapshots lose, and a trial costs
it a twentieth (benchmarks/scale.py). This is for those who have a Tuner already.
"""

import json
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher as TuneSearcher

from mnas.config import Config
from mnas.engine.init import genotypes
from mnas.engine.loop import job_seed
from search_space import Genotype, InputError
from search_space.cost import cost


class Searcher(TuneSearcher):
    """Proposes architectures to Tune and learns from the accuracies it reports.

    A trial's config is `{"trial", "genotype", "architecture", "seed"}`: build the network of
    `Architecture.from_json(config["architecture"])`, train it, and report `metric`, from 0 to 1.
    Trials are told to the controller in the order of their numbers, as in `mnas search`; one that
    Tune ends with an error counts as accuracy 0, one that its scheduler stopped early with what it
    last reported. A network that comes up again is not run again: its accuracy is told once more.

    Args:
        config: of `[search]` it takes trials, window, seed and reuse; and `[space]`,
            `[controller]`, `[reward]`.
        metric: the name under which the trainable reports the accuracy.
    """

    def __init__(self, config: Config, metric: str = "accuracy") -> None:
        super().__init__(metric=metric, mode="max")
        self._config = config
        self._begin()

    def _begin(self) -> None:
        self._settings, self._space = self._config.settings(), self._config.space()
        self._reward, self._controller = (
            self._config.reward(self._space),
            self._config.controller(self._space),
        )
        self._seeds = genotypes(self._config, self._space)
        self._genotypes: list[Genotype] = []  # of the trials asked, by number
        self._first: dict[str, int] = {}  # digest -> the first trial of that network
        self._numbers: dict[str, int] = {}  # Tune's name of a trial -> ours, of those that run
        self._accuracies: dict[int, float] = {}
        self._told = 0

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Take the Tuner's metric.

        Raises:
            InputError: when it minimises, or has a search space of its own.
        """
        if mode not in (None, "max") or config:
            raise InputError(
                "mnas.engine.tune.Searcher: takes mode max and no "
                "param_space: the space is the configuration's"
            )
        self._metric = metric or self._metric
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next architecture to try, None when the window is full, FINISHED when all were
        asked.
        """
        while len(self._genotypes) < self._settings.trials:
            number = len(self._genotypes)
            if not self._tell(number - self._settings.window + 1):
                return None
            if (runs := self._ask()) is None:
                return TuneSearcher.FINISHED
            if runs == number:
                self._numbers[trial_id] = number
                return {
                    "trial": number,
                    "genotype": list(self._genotypes[number]),
                    "architecture": self._space.decode(self._genotypes[number]).to_json(),
                    "seed": job_seed(self._settings.seed, number),
                }
        return TuneSearcher.FINISHED

    def _ask(self) -> int | None:
        """Ask for the next trial; return the one that is run for it, an earlier one where that has
        its network.

        None: the controller has nothing left to propose.
        """
        number = len(self._genotypes)
        if number < len(self._seeds):
            genotype = self._seeds[number]
            self._controller.given(number, genotype)
        elif (asked := self._controller.ask(number)) is not None:
            genotype = asked
        else:
            return None
        self._genotypes.append(genotype)
        first = self._first.setdefault(self._space.decode(genotype).digest, number)
        return first if self._settings.reuse else number

    def _tell(self, count: int) -> bool:
        """Tell the controller the first `count` trials, in order and no more; say whether they were
        all known.
        """
        while self._told < count:
            genotype = self._genotypes[self._told]
            architecture = self._space.decode(genotype)
            source = self._first[architecture.digest] if self._settings.reuse else self._told
            if source not in self._accuracies:
                return False
            reward = self._reward(self._accuracies[source], cost(architecture))
            self._controller.tell(self._told, genotype, reward)
            self._told += 1
        return True

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn what became of a trial."""
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        accuracy = 0.0 if error or not result else float(result.get(str(self._metric), 0.0))
        if not 0 <= accuracy <= 1:  # NaN neither
            raise InputError(f"{self._metric}: {accuracy}; takes an accuracy from 0 to 1")
        self._accuracies[number] = accuracy

    def save(self, checkpoint_path: str) -> None:
        """Write what was asked and learnt, as JSON."""
        state = {
            "config_digest": self._config.digest,
            "genotypes": self._genotypes,
            "running": self._numbers,
            "accuracies": self._accuracies,
        }
        Path(checkpoint_path).write_text(json.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what `save` wrote: a new controller is asked and told the same again.

        Raises:
            InputError: when the file is of another configuration, or the replay asks other
                genotypes.
        """
        state = json.loads(Path(checkpoint_path).read_text())
        if state["config_digest"] != self._config.digest:
            raise InputError(f"{checkpoint_path}: written with another configuration")
        self._begin()
        self._accuracies = {
            int(number): accuracy for number, accuracy in state["accuracies"].items()
        }
        for number, genotype in enumerate(state["genotypes"]):
            known = self._tell(number - self._settings.window + 1)
            self._ask()
            if not known or self._genotypes[number] != tuple(genotype):
                raise InputError(
                    f"{checkpoint_path}: replayed, the search asks another trial {number}"
                )
        self._numbers = state["running"]
