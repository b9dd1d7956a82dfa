"""What early stopping would have saved of a search, and what it would have harmed.

    python -m benchmarks.early_stopping RUN… [--share 0.25 --share 0.5 --share 0.75]

Each RUN is a finished search without early stopping, whose children have a curve of several epochs.
It is replayed: every child is asked again, in order, with what `[search] stop_below` had known
then, and its true curve says where it had been ended. (Which children a controller had asked for
instead is not replayed.) Beside our rule, `expected`, stands the usual one, `at equal epoch`: a
child ends when its reward so far is below that share of what the finished children had after the
same epoch; told is what we would tell.

Saved are epochs, and seconds where an epoch takes an equal part of them. Harm is Kendall's rank
correlation between what is told and what is true, how many of the truly best 10 by reward are
ended, the true rank of the best that is ended, and that of the trial that is recommended in the
end.
"""

from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from tabulate import tabulate

from mnas.analysis.recommend import recommend
from mnas.cli.group import Command
from mnas.engine.stopping import LEAST, Forecast, Stopping
from mnas.journal import reader
from mnas.journal.log import Log
from mnas.journal.records import Outcome
from runners import Job
from search_space.cost import Cost

TOP = 10


def _cost(run: Log, trial: int) -> Cost:
    return Cost(run.asks[trial].macs, run.asks[trial].params, 0)


def _ended(run: Log, true: Outcome, forecast: Forecast, thresholds: tuple[float, ...]) -> Outcome:
    """Return the outcome that a trial had had under these thresholds."""
    job = Job(true.trial, run.architecture(true.trial), 0, thresholds)
    for epoch in range(1, len(true.curve)):
        curve = true.curve[:epoch]
        if job.hopeless(curve):
            accuracy = forecast.final(curve)
            reward = run.reward(accuracy, _cost(run, true.trial))
            seconds = true.seconds * epoch / len(true.curve)
            return replace(
                true,
                accuracy=accuracy,
                reward=reward,
                curve=curve,
                seconds=seconds,
                stopped_early=True,
            )
    return true


def _replayed(run: Log, share: float, *, equal_epoch: bool) -> Log:
    """Return the log as early stopping had made it of the same children."""
    stopping, told = Stopping(share, run.reward), Log(run.run, run.header)
    told.asks = run.asks
    finished: list[list[float]] = []  # rewards after each epoch
    for trial in run.asks:
        if trial >= run.settings.window:
            known = told.outcomes[trial - run.settings.window]
            stopping.tell(known)
            if known.curve and not known.stopped_early:
                finished.append(
                    [run.reward(accuracy, _cost(run, known.trial)) for accuracy in known.curve]
                )
        true = run.outcomes[trial]
        if true.reused_from is not None:
            told.outcomes[trial] = replace(
                told.outcomes[true.reused_from], trial=trial, reused_from=true.reused_from
            )
            continue
        forecast = stopping.forecast(_cost(run, trial))
        thresholds = forecast.thresholds
        if equal_epoch and forecast.lines:
            bars = np.quantile(finished, share, axis=0)[:-1].tolist()
            thresholds = tuple(run.reward.accuracy(bar, _cost(run, trial)) for bar in bars)
        told.outcomes[trial] = _ended(run, true, forecast, thresholds)
    return told


def _row(run: Log, share: float, *, equal_epoch: bool) -> list[str]:
    from scipy.stats import kendalltau

    told = _replayed(run, share, equal_epoch=equal_epoch)
    trained = [t for t, o in run.outcomes.items() if o.curve and o.reused_from is None]
    ended = {trial for trial in trained if told.outcomes[trial].stopped_early}
    ranked = sorted(trained, key=lambda trial: -run.outcomes[trial].reward)
    pairs = [(told.outcomes[trial], run.outcomes[trial]) for trial in trained]
    epochs, seconds = (
        1 - sum(f(ours) for ours, _ in pairs) / sum(f(true) for _, true in pairs)
        for f in (lambda o: len(o.curve), lambda o: o.seconds)
    )
    taus = [
        kendalltau([f(ours) for ours, _ in pairs], [f(true) for _, true in pairs]).statistic
        for f in (lambda o: o.accuracy, lambda o: o.reward)
    ]
    best_ended = next(
        (str(rank) for rank, trial in enumerate(ranked, start=1) if trial in ended), ""
    )
    (chosen,) = recommend(told)
    return [
        "none" if share == 0 else "at equal epoch" if equal_epoch else "expected",
        f"{share:g}",
        f"{len(ended) / len(trained):.0%}",
        f"{epochs:.1%}",
        f"{seconds:.1%}",
        *(f"{tau:.2f}" for tau in taus),
        f"{len(ended & set(ranked[:TOP]))}",
        best_ended,
        f"{1 + ranked.index(chosen.row.trial)}",
    ]


HEADERS = [
    "rule",
    "share",
    "ended",
    "epochs saved",
    "seconds saved",
    "Kendall accuracy",
    "reward",
    f"of best {TOP} ended",
    "best ended",
    "recommended",
]


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN…", type=click.Path(path_type=Path))
@click.option(
    "--share", "shares", multiple=True, type=float, default=(0.25, 0.5, 0.75), show_default=True
)
def main(runs: tuple[Path, ...], shares: tuple[float, ...]) -> None:
    """Replay searches with early stopping, and print what that saves and harms."""
    for path in runs:
        run = reader.read(path)
        if run.settings.stop_below or not LEAST <= run.trials == len(run.outcomes):
            raise click.UsageError(
                f"{path}: takes a finished search of {LEAST} trials or more, without early stopping"
            )
        epochs = max(len(outcome.curve) for outcome in run.outcomes.values())
        rows = [_row(run, 0.0, equal_epoch=False)]
        rows += [_row(run, share, equal_epoch=equal) for equal in (False, True) for share in shares]
        click.echo(f"{path}: {len(run.outcomes)} trials of {epochs} epochs\n")
        click.echo(tabulate(rows, HEADERS, disable_numparse=True) + "\n")


if __name__ == "__main__":
    main()
