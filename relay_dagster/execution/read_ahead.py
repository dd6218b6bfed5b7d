"""Objects that are read before they are needed, as many as fit into some memory."""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future

from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.execution.side_by_side import SideBySide

MOST_BYTES = 64 << 20
"""How much may lie in memory unasked for; a feed of more than that is read when it is needed."""


class ReadAhead:
    """Begins to read objects in the order in which they will be taken.

    Args:
        objects: the bucket.
        side: where to read.
        sizes: the objects, key to bytes, in the order in which they will be taken.
    """

    def __init__(self, objects: ObjectStore, side: SideBySide, sizes: Mapping[str, int]) -> None:
        self._objects = objects
        self._side = side
        self._sizes = dict(sizes)
        self._waiting = deque(self._sizes)
        self._coming: dict[str, Future[bytes]] = {}
        self._fill()

    def take(self, key: str) -> bytes:
        """Return an object's bytes, and keep them no longer.

        Raises:
            MissingResourceError: there is no such object.
        """
        coming = self._coming.pop(key, None)
        if coming is None and key in self._waiting:
            self._waiting.remove(key)
        data = self._objects.read(key) if coming is None else coming.result()
        self._fill()
        return data

    def _fill(self) -> None:
        room = MOST_BYTES - sum(self._sizes[key] for key in self._coming)
        while self._waiting and self._sizes[self._waiting[0]] <= room:
            key = self._waiting.popleft()
            room -= self._sizes[key]
            self._coming[key] = self._side.ask(self._objects.read, key)
