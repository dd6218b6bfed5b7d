"""What one tick of the reconciler leaves to the next: its sensor's cursor, and nothing else.

Here it is judged how long a heartbeat has been silent: ``execution/heartbeat.py`` writes it,
``aws/dynamodb/run_store.py`` keeps its counter, and ``rules.py`` says how long is too long.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from relay_dagster.runs.model import RunRecord

# Only runs that are looked at are remembered; others come back as new.
MAX_RUNS = 1000


@dataclass
class ReconcilerCursor:
    """Heartbeats as last seen, messages as last extended, and when the rarer duties were done.

    Instants are seconds since the epoch, by the reconciler's own clock alone.
    """

    beats: dict[str, tuple[str, float]] = field(default_factory=dict)
    extended: dict[str, float] = field(default_factory=dict)
    page: str | None = None
    dead_letters_at: float = 0
    tenants_at: float = 0
    all_tenants_at: float = 0

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """Read a cursor; one that cannot be read is as if there were none."""
        try:
            document: dict[str, Any] = json.loads(cursor or "{}")
            document["beats"] = {k: (v[0], v[1]) for k, v in document.get("beats", {}).items()}
            return cls(**document)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return cls()

    def dump(self) -> str:
        """Return the text to keep; the oldest runs are forgotten where there are too many."""
        kept = {
            **self.__dict__,
            "beats": dict(list(self.beats.items())[-MAX_RUNS:]),
            "extended": dict(list(self.extended.items())[-MAX_RUNS:]),
        }
        return json.dumps(kept, separators=(",", ":"))

    def silence(self, record: RunRecord, beats: int, state: str, now: datetime) -> float:
        """Note an attempt's heartbeat counter; return for how many seconds it has not changed.

        ``state`` is Dagster's word: a run that only now executes cannot have been silent before.
        Nor can one that only now has claimed its attempt: its first beat comes an interval later.
        """
        token = f"{record.attempt}:{beats}:{state}:{record.dagster_run_id}"
        instant = now.timestamp()
        seen = self.beats.get(record.run_id)
        if seen is None or seen[0] != token:
            self.beats.pop(record.run_id, None)
            self.beats[record.run_id] = (token, instant)
            return 0
        return instant - seen[1]

    def since_extended(self, run_id: str, now: datetime) -> float | None:
        """Return how many seconds ago a run's message was kept out of sight."""
        at = self.extended.get(run_id)
        return None if at is None else now.timestamp() - at

    def note_extended(self, run_id: str, now: datetime) -> None:
        """Note that a run's message was kept out of sight."""
        self.extended.pop(run_id, None)
        self.extended[run_id] = now.timestamp()

    def forget(self, run_id: str) -> None:
        """Forget a run that is settled."""
        self.beats.pop(run_id, None)
        self.extended.pop(run_id, None)

    def is_due(self, duty: str, seconds: float, now: datetime) -> bool:
        """Tell whether a rarer duty (the name of its field) is due, and note that it is done."""
        if now.timestamp() - getattr(self, duty) < seconds:
            return False
        setattr(self, duty, now.timestamp())
        return True
