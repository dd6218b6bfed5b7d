"""The dead-letter queue, read whole: each dead letter once, however many there are."""

from collections.abc import Iterator

from relay_dagster.aws.job_queue import JobQueue, Message
from relay_dagster.drain import Deadline

READ_SECONDS = 30
# Longer than a reading: dead letters that it has not reached come first in the next one.
HIDDEN_SECONDS = 120


def read_whole(queue: JobQueue, deadline: Deadline | None = None) -> Iterator[list[Message]]:
    """Yield all dead letters in batches, each once.

    SQS returns any of them, so those that were read stay hidden until the end, and are visible to
    others again then. If the deadline passes they stay hidden, and the next reading goes on with
    the others.
    """
    deadline, read = deadline or Deadline.after(READ_SECONDS), list[Message]()
    while messages := queue.receive_dead(hidden_seconds=HIDDEN_SECONDS):
        read += messages
        yield messages
        if deadline.has_passed():
            return
    queue.show_dead(read)
