"""The commands for the actions of a run's report, by the action's name."""

from collections.abc import Callable, Mapping

from relay_core.report.blocks import Action
from relay_dagster.client.hold_report import release_command
from relay_dagster.wire.runs import Run


def command_of(action: Action, run: Run) -> str:
    """Return the command of an action; empty if the run does not allow the action now.

    An action that is not listed here has the command that the report gives.
    """
    make = _COMMANDS.get(action.name)
    return action.command if make is None else make(action, run)


def _release(action: Action, run: Run) -> str:
    """Return the command that releases exactly the feed on hold."""
    if run.hold is None or not run.is_held:
        return ""
    return release_command(run, run.hold)


def _discard(action: Action, run: Run) -> str:
    return action.command if run.is_held else ""


_COMMANDS: Mapping[str, Callable[[Action, Run], str]] = {
    "release": _release,
    "discard": _discard,
}
