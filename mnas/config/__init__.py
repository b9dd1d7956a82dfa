"""One TOML file a run, and the objects that it describes."""

from mnas.config.config import Config
from mnas.config.construct import construct
from mnas.config.files import SHIPPED, find, load, override
from mnas.config.settings import Settings, Views

__all__ = ["SHIPPED", "Config", "Settings", "Views", "construct", "find", "load", "override"]
