"""The one mapping of everything that a server can do wrong to a sentence of ours.

What a server sends decides which of a client's errors are raised, so no list of them is
complete: a garbled answer may end as any exception. Whatever code that talks to a server
raises is therefore a failure of this call. Code that stores the file runs outside.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import paramiko

from relay_dagster.logs import event_log
from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    CallStoppedError,
)

log = event_log()

# The first kind that fits gives the sentence.
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (
        paramiko.AuthenticationException,
        "the server rejects the user or the secret",
    ),
    (FileNotFoundError, "the server does not have this folder or file"),
    (
        PermissionError,
        "the user has no permission to read the folder or file",
    ),
    (UnicodeDecodeError, "the folder contains a name that is not UTF-8"),
)


@contextmanager
def as_call_error(
    sentence: str, allowance: Allowance | None = None
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
        for kind, known_sentence in _SENTENCES:
            if isinstance(error, kind):
                raise CallError(known_sentence) from error
        # The error's own text may quote what the server sent.
        log.info("call_garbled", kind=type(error).__name__)
        raise CallError(sentence) from error
