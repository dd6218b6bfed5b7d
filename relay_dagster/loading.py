"""The import of modules that a process keeps, without collections of garbage then or later."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loaded_for_good() -> Iterator[None]:
    """Keep the garbage collector off, and let it ignore for good what is loaded meanwhile.

    It would scan a million objects again and again, during the load and in every full collection.
    Pydantic looks for no plugins: it would read the metadata of every package that is installed.
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
