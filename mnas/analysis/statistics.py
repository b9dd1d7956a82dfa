"""Rank correlation."""

from collections.abc import Sequence


def spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Return Spearman's rank correlation; NaN where one side is all alike."""
    import pandas  # half a second

    first, second = (pandas.Series(side).rank() for side in zip(*pairs, strict=True))
    return float(first.corr(second))
