"""What networks brought that were trained more than once."""

import itertools

import numpy as np

from search_space import Genotype

ALIKE = 4  # repeats that brought what was known, after which there is taken to be no noise


class Repeats:
    """What networks brought that were trained once or again."""

    def __init__(self) -> None:
        self._numbers: dict[Genotype, int] = {}
        self._asked: list[int] = []  # how many trainings of a network were asked, told or not
        self._counts: list[int] = []  # how many were told
        self._means: list[float] = []  # of their rewards
        self._scatter = (
            0.0  # sum of the squared distances of all rewards from their networks' means
        )
        self._repeats = 0

    def _number(self, genotype: Genotype) -> int:
        number = self._numbers.setdefault(genotype, len(self._numbers))
        if number == len(self._counts):
            self._asked.append(0)
            self._counts.append(0)
            self._means.append(0.0)
        return number

    def ask(self, genotype: Genotype) -> None:
        """Take note of a training whose reward is not known yet."""
        self._asked[self._number(genotype)] += 1

    def tell(self, genotype: Genotype, reward: float) -> None:
        """Take in a training that did not fail."""
        number = self._number(genotype)
        self._repeats += self._counts[number] > 0
        self._counts[number] += 1
        off = reward - self._means[number]
        self._means[number] += off / self._counts[number]
        if self._counts[number] > 1:
            self._scatter += off * (reward - self._means[number])  # Welford's update

    @property
    def useless(self) -> bool:
        """Whether there is no noise to average: ALIKE repeats or more, and each as the
        first time.
        """
        return self._repeats >= ALIKE and self._scatter == 0

    def worth_another(self) -> Genotype | None:
        """Return the network whose mean may be the highest, by its standard error; None with fewer
        than ALIKE repeats.

        So the best are told from one another, and the good from the lucky. A bound of confidence,
        as Auer, Cesa-Bianchi and Fischer 2002 have it, but of one standard error of the noise that
        all repeats show. What is being trained counts as trained: many may be open at once.
        """
        if self._repeats < ALIKE:
            return None
        counts = np.array(self._counts)
        errors = np.sqrt(
            self._scatter / self._repeats / np.maximum(1, np.maximum(counts, self._asked))
        )
        bounds = np.where(counts > 0, np.array(self._means) + errors, -np.inf)
        return next(itertools.islice(self._numbers, int(bounds.argmax()), None))
