"""How a call is made again that AWS could not carry out just then: one policy for all of them.

botocore itself asks again where it is throttled or hears nothing. These are answers that it takes
as final, and that pass by themselves: items that another writer is at, keys left unread, a table
that is not ready. The pauses grow, up to a limit, and are spread by chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

_FIRST_PAUSE_SECONDS = 0.02


def retrying(
    on: Callable[[BaseException], bool],
    *,
    tries: int = 12,
    longest_seconds: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Retrying:
    """Return what calls a function until it raises nothing, or for the last time.

    Args:
        on: tells of an exception whether to try again; any other is raised at once.
        tries: in all.
        longest_seconds: no pause is longer.
        sleep: how to wait.
    """
    return Retrying(
        retry=retry_if_exception(on),
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=longest_seconds),
        stop=stop_after_attempt(tries),
        sleep=sleep,
        reraise=True,
    )
