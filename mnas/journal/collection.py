"""Python's garbage collector, kept from walking through all trials again and again: none of them is
garbage.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Leave the collector off; what nothing refers to is freed all the same."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
