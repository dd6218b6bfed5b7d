"""The import of modules that a process keeps, without garbage collection."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loaded_for_good() -> Iterator[None]:
    """Switch the garbage collector off; it will ignore for good what the block loads.

    It would scan a million objects again and again, during the load and in every full
    collection. Pydantic looks for no plugins either: it would read the metadata of
    every installed package.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
