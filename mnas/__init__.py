"""mnas: search for a baseline network by reinforcement learning, inspect the search, scale what it found."""

__version__ = "0.1.0"
