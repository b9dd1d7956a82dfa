"""Data sets as labelled images."""

from runners.data.base import DataSet
from runners.data.datasets import DATA_SETS, open_data

__all__ = ["DATA_SETS", "DataSet", "open_data"]
