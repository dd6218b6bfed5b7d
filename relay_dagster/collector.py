"""The garbage collector, kept away from what is loaded: it stays for as long as the process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def spared() -> Iterator[None]:
    """Load code inside: the collector does not run, and passes over it for ever after.

    A run's process loads a million objects, and the collector would look at all of them again and
    again while they come, and once more in each of its full rounds.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
