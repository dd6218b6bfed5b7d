"""What a duty remembers from one time to the next: kept in the cursor of its sensor.

Small, for Dagster stores it again with every tick. Instants are seconds since the epoch.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass
class Memory:
    """Base of what duties remember: a dataclass with defaults whose values JSON can hold."""

    @classmethod
    def read(cls, values: object) -> Self:
        """Return what values say; those that cannot be read are as if there were none."""
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError:
            return cls()

    def values(self) -> dict[str, Any]:
        """Return the values to keep."""
        return asdict(self)
