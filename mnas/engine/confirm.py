"""Train a search's most promising networks again, with other seeds, before one of them is chosen.

MnasNet trained the best 15 of its search again (§4.2). What comes of it is journalled like a
trial's outcome, and the recommendation (`recommend.py`) reads it as further trainings of the same
network.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnas.analysis.recommend import promising
from mnas.journal.records import Confirmed
from mnas.journal.writer import Journal
from runners import Job
from runners.base import MACHINE_FAULTS
from search_space import InputError
from search_space.cost import cost

logger = logging.getLogger("mnas")


def confirm(run: Path, count: int, seeds: int = 1, *, trusted: bool = False) -> Iterator[Confirmed]:
    """Train the `count` most promising networks `seeds` times each, and yield the outcomes as they
    come.

    Which ones these are is decided by the trials alone. So what was confirmed before is not trained
    again, and a call that was stopped goes on where it ended.

    Raises:
        InputError: when the run can't be read, is being written, has no trial with an accuracy or,
            untrusted, names code outside mnas; when the machine fails at one job more often than
            the search allows.
        KeyboardInterrupt: on Ctrl-C; what has come stays.
    """
    with Journal.reopen(run) as journal:
        log = journal.log
        config = log.config(trusted=trusted)
        chosen = [row.trial for row in promising(log, count, confirmed=False)]
        if not chosen:
            raise InputError(f"{run}: no trial has an accuracy yet; nothing to confirm")
        wanted = [(trial, repeat) for repeat in range(seeds) for trial in chosen]
        # By number, under which a runner knows it.
        jobs = dict(enumerate(each for each in wanted if each not in log.confirmed))
        runner = config.runner(config.evaluate(log.space), run / "workers")
        tries: Counter[int] = Counter()

        def submit(number: int) -> None:
            trial, repeat = jobs[number]
            seed = np.random.SeedSequence(
                (log.settings.seed, trial, repeat), spawn_key=(2,)
            ).generate_state(1)[0]
            tries[number] += 1
            runner.submit(Job(number, log.architecture(trial), int(seed)))

        try:
            for number in jobs:
                submit(number)
            while jobs:
                result = runner.next()
                failure = result.failure
                if failure and failure.kind == "bad-input":
                    raise InputError(failure.message)
                if failure and failure.kind in MACHINE_FAULTS:  # it says nothing of the network
                    if tries[result.trial] > log.settings.retries:
                        raise InputError(
                            f"{run}: the machine failed again and again "
                            f"({failure.kind}: {failure.message}); what is "
                            f"confirmed is kept, the same command goes on"
                        )
                    logger.warning("confirming failed (%s): %s", failure.kind, failure.message)
                    submit(result.trial)
                    continue
                trial, repeat = jobs.pop(result.trial)
                confirmed = Confirmed(
                    trial=trial,
                    repeat=repeat,
                    accuracy=result.accuracy,
                    reward=log.reward(result.accuracy, cost(log.architecture(trial))),
                    curve=result.curve,
                    seconds=result.seconds,
                    worker=result.worker,
                    failure=failure,
                )
                journal.append(confirmed)
                journal.sync()
                yield confirmed
        finally:
            runner.close()
