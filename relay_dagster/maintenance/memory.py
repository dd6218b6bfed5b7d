"""The memory of a duty from one tick to the next, kept in the cursor of its sensor.

It is small, since Dagster stores it with every tick. Instants are seconds since the epoch.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass
class Memory:
    """Base of duties' memories: a dataclass with defaults and values that JSON can hold."""

    @classmethod
    def read(cls, values: object) -> Self:
        """Return the memory with these values; the empty one if they cannot be read."""
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError:
            return cls()

    def values(self) -> dict[str, Any]:
        """Return the values to keep."""
        return asdict(self)
