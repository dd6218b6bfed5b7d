"""The dead-letter queue, read whole: each letter once, however many there are."""

from collections.abc import Iterator

from relay_dagster.aws.job_queue import JobQueue, Message
from relay_dagster.drain import Deadline

READ_SECONDS = 30
# Longer than a reading: what it has not come to in time is the first of the next one.
HIDDEN_SECONDS = 120


def read_whole(queue: JobQueue, deadline: Deadline | None = None) -> Iterator[list[Message]]:
    """Yield all dead letters, some at a time, each once.

    SQS hands out any of them, so those that were read are kept out of sight until the end; they are
    shown again then, to whoever else looks. Where there are too many for the time they are not,
    and the next reading goes on with the others.
    """
    deadline, read = deadline or Deadline.after(READ_SECONDS), list[Message]()
    while letters := queue.receive_dead(hidden_seconds=HIDDEN_SECONDS):
        read += letters
        yield letters
        if deadline.has_passed():
            return
    queue.show_dead(read)
