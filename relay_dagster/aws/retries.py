"""The one retry policy for answers of AWS that pass by themselves.

botocore itself retries where it is throttled or gets no answer. It takes others as final: items
that another writer is changing, keys left unread, a table that is not ready. The pauses between
tries grow up to a limit, with jitter.
"""

import time
from collections.abc import Callable

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

_FIRST_PAUSE_SECONDS = 0.02


def retrying(
    on: Callable[[BaseException], bool],
    *,
    tries: int = 12,
    max_pause_seconds: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Retrying:
    """Return a caller that calls a function until it raises nothing, or its tries are used up.

    Exceptions that ``on`` says no to are raised at once.
    """
    return Retrying(
        retry=retry_if_exception(on),
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=max_pause_seconds),
        stop=stop_after_attempt(tries),
        sleep=sleep,
        reraise=True,
    )
