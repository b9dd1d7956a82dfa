"""Accuracies looked up instead of trained: for demos, tests, and benchmarks of controllers.

A surrogate stands where the proxy task does, so a whole search, journal and all, runs in seconds on
accuracies that somebody else's GPUs have measured. It trains nothing, and its name says so.
"""

import csv
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from runners.base import Job, Result
from search_space.architecture import Architecture
from search_space.errors import InputError, require, require_known
from search_space.public_benchmarks import BENCHMARKS
from search_space.space import Genotype


class Surrogate(ABC):
    """Looks up the accuracies of one space's networks, as shares of 1."""

    _takes: str  # what a file of it is

    def __init__(self, path: str, space: str, *, noisy: bool) -> None:
        require_known(space, BENCHMARKS, place="space: ", owner="it")
        self._path, self._noisy = Path(path), noisy
        self.space = BENCHMARKS[space]()

    def check(self, architecture: Architecture) -> None:
        """Refuse a space that is not the one that was measured, and a file that can't be read."""
        self.prepare()
        if architecture != self.space.template:
            raise InputError("space.name: not the space of the surrogate; the two must be one")

    def prepare(self) -> None:
        """Read the file.

        Raises:
            InputError: when it can't be read, or is not what it should be.
        """
        try:
            _ = self._content
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror or 'can not be read'}") from None
        except (EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
            raise InputError(f"{self._path}: no such surrogate; takes {self._takes}") from None

    @cached_property
    @abstractmethod
    def _content(self) -> Any:
        """What the file holds."""

    @abstractmethod
    def mean(self, genotype: Genotype) -> float:
        """Return the expected accuracy."""

    @abstractmethod
    def draw(self, genotype: Genotype, rng: np.random.Generator) -> float:
        """Return the accuracy of one training."""

    def __call__(self, job: Job) -> Result:
        """Look up the job's network: one training of it by the job's seed, or the mean of all."""
        genotype = self.space.encode(job.architecture)
        rng = np.random.default_rng(job.seed)
        accuracy = self.draw(genotype, rng) if self._noisy else self.mean(genotype)
        return Result(job.trial, accuracy, (accuracy,))


class Table(Surrogate):
    """A table of networks that were all trained, several times each.

    A `.json` file is one object of genotypes, a digit each decision, with `test_acc`, percents
    (NAS-Bench-Macro's format). A `.csv` file has a column for each decision (`stage1.op`), and
    others named `accuracy…`, shares of 1.

    Args:
        path: of the file.
        space: the benchmark's.
        noisy: whether a trial has the accuracy of one training, drawn by its seed; else the mean.
    """

    _takes = (
        "genotypes with test_acc in .json, or a .csv with the decisions for columns and accuracies"
    )

    def __init__(self, *, path: str, space: str = "nas-bench-macro", noisy: bool = True) -> None:
        super().__init__(path, space, noisy=noisy)

    @cached_property
    def _content(self) -> dict[Genotype, list[float]]:
        text = self._path.read_text("utf-8")
        return dict(self._rows(text) if self._path.suffix == ".csv" else self._entries(text))

    @staticmethod
    def _entries(text: str) -> Iterator[tuple[Genotype, list[float]]]:
        for digits, entry in json.loads(text).items():
            yield tuple(map(int, digits)), [percent / 100 for percent in entry["test_acc"]]

    def _rows(self, text: str) -> Iterator[tuple[Genotype, list[float]]]:
        decisions = self.space.decisions
        for row in csv.DictReader(text.splitlines()):
            answers = [[str(c) for c in d.choices].index(row[d.name]) for d in decisions]
            yield (
                tuple(answers),
                [float(value) for name, value in row.items() if name.startswith("accuracy")],
            )

    def _of(self, genotype: Genotype) -> list[float]:
        try:
            return self._content[genotype]
        except KeyError:
            raise InputError(
                f"{self._path}: has no network {''.join(map(str, genotype))}"
            ) from None

    def mean(self, genotype: Genotype) -> float:
        """Return the mean of its trainings."""
        return float(np.mean(self._of(genotype)))

    def draw(self, genotype: Genotype, rng: np.random.Generator) -> float:
        """Return one of its trainings."""
        return float(rng.choice(self._of(genotype)))


class Trees(Surrogate):
    """Regression trees fitted to trained networks: Accel-NASBench's ImageNet accuracies.

    The file has plain arrays: `feat` and `thr` `[T, 7]`, the nodes of T trees of depth 3 in heap
    order, `leaf` `[T, 8]`, `base` `[]`; features are each stage's expansion, kernel, repeats and SE
    (0 or 1); a feature not under the threshold goes right; the sum of leaves and base is in
    percent.

    Args:
        path: of the `.npz` file.
        space: the benchmark's.
        noisy: whether a trial has normal noise of standard deviation `noise`, drawn by its seed.
        noise: between trainings of one network; Accel-NASBench's repeats have 0.0031.
    """

    _takes = "the arrays feat, thr, leaf and base in .npz"

    def __init__(
        self, *, path: str, space: str = "accel-nasbench", noisy: bool = True, noise: float = 0.0031
    ) -> None:
        super().__init__(path, space, noisy=noisy)
        require(0 <= noise < 1, "noise", noise, "a share from 0 to below 1")
        self._noise = noise

    @cached_property
    def _content(self) -> dict[str, Any]:
        with np.load(self._path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("feat", "thr", "leaf", "base")}
        return found | {"feat": found["feat"].astype(int)}

    def mean(self, genotype: Genotype) -> float:
        """Return what the trees predict."""
        stages = self.space.decode(genotype).stages
        features = np.array(
            [[s.expansion, s.kernel, s.repeats, s.se_ratio > 0] for s in stages], float
        ).ravel()
        trees = self._content
        tree, node = np.arange(len(trees["feat"])), np.zeros(len(trees["feat"]), int)
        for _ in range(3):
            right = features[trees["feat"][tree, node]] >= trees["thr"][tree, node]
            node = 2 * node + 1 + right
        return float(trees["base"] + trees["leaf"][tree, node - 7].sum()) / 100

    def draw(self, genotype: Genotype, rng: np.random.Generator) -> float:
        """Return the mean with a training's noise."""
        return self.mean(genotype) + self._noise * float(rng.standard_normal())
