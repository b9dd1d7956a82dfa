"""The version of mnas, where everything below the public API can import it."""

__version__ = "0.1.0"
