"""What one tick of a duty leaves to the next: its sensor's cursor, as text.

Small, for Dagster stores it again with every tick. Instants are seconds since the epoch.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass
class Cursor:
    """Base of what a duty remembers: a dataclass with defaults whose values JSON can hold."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a cursor; one that cannot be read is as if there were none."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()

    def dump(self) -> str:
        """Return the text to keep."""
        return json.dumps(asdict(self), separators=(",", ":"))
