"""The one mapping of everything that a server can do wrong to a sentence of ours.

What a server sends decides which of a client's errors are raised, so no list of them is
complete: a garbled answer may end as any exception. Whatever code that talks to a server
raises is therefore a failure of this call. Code that stores the file runs outside.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from relay_dagster.logs import event_log
from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    CallStoppedError,
)

Sentences = Sequence[tuple[type[Exception], str]]
"""Kinds of errors with their sentences; the first kind that fits counts."""
log = event_log()


@contextmanager
def as_call_error(
    sentence: str,
    allowance: Allowance | None = None,
    sentences: Sentences = (),
) -> Iterator[None]:
    """Raise any error as a `CallError`, with ``sentence`` if no other fits.

    If the allowance has ended the call, its reason is raised.
    """
    try:
        yield
    except (CallError, CallStoppedError):
        raise
    except Exception as error:
        if allowance is not None:
            allowance.seconds_left()
        for kind, fitting_sentence in sentences:
            if isinstance(error, kind):
                raise CallError(fitting_sentence) from error
        # The error's own text may quote what the server sent.
        log.info("call_garbled", kind=type(error).__name__)
        raise CallError(sentence) from error
