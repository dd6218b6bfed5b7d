"""The table of transitions as a picture, which the documentation shows."""

from __future__ import annotations

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.transitions import TRANSITIONS

STATUSES = {
    RunStatus.QUEUED: "waits for an attempt, or for Dagster to begin the one dispatched",
    RunStatus.RUNNING: "an attempt executes, stage by stage",
    RunStatus.SUCCEEDED: "its feed is written, and published if it is of all vendors",
    RunStatus.FAILED: "its data are at fault, or its attempts are used up",
    RunStatus.CANCELLED: "somebody asked for it, or its message could not be sent",
    RunStatus.HELD: "its feed is written and not published; a person decides, or the next run",
}


def state_diagram() -> str:
    """Return the table as a Mermaid state diagram, which the documentation shows."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for transition in TRANSITIONS.values():
        for source in transition.sources or ("[*]",):
            arrow = (str(source), str(transition.target or source))
            arrows.setdefault(arrow, []).append(
                transition.name.replace("_", " ")
            )
    return "\n".join(
        (
            "stateDiagram-v2",
            *(
                f"    {status} : {meaning}"
                for status, meaning in STATUSES.items()
            ),
            *(
                f"    {a} --> {b} : {', '.join(names)}"
                for (a, b), names in arrows.items()
            ),
            *(
                f"    {status} --> [*]"
                for status in STATUSES
                if status.is_final
            ),
        )
    )
