"""The report on a feed that guards hold: what tripped, and how to release it."""

import shlex
from collections.abc import Mapping
from typing import Any

from relay_dagster.client.terminal import Screen
from relay_dagster.wire.runs import HeldFeed, Run

PLACEHOLDER = "why the feed is correct"
"""The reason in a command that is printed for people to complete."""


def show_hold(screen: Screen, run: Run, hold: HeldFeed) -> None:
    """Write the guards that held a run and, while it is on hold, how to release it."""
    screen.section(
        f"on hold, compared with the feed of run {hold.baseline_run_id}",
    )
    for guard in hold.guards:
        show_guard(screen, guard)
    if run.is_held:
        screen.say(
            "The live feed stays as it is. The next run replaces the held feed.",
        )
        screen.say("If the held feed is correct, release it with:")
        screen.say(release_command(run, hold), indent=2, whole=True)


def release_command(run: Run, hold: HeldFeed, reason: str = PLACEHOLDER) -> str:
    """Return the command that releases exactly the feed of a hold."""
    words = ["relay", "feed", "release", run.run_id, "--sha256", hold.sha256]
    for name in hold.guard_names:
        words += ["--guard", name]
    words += ["--reason", reason]
    return shlex.join(words)


def show_guard(screen: Screen, guard: Mapping[str, Any]) -> None:
    """Write the result of a guard, with its examples."""
    vendor = f" of {guard['vendor_id']}" if guard.get("vendor_id") else ""
    side = f", {guard['side']} side" if guard.get("side") else ""
    share = f"{guard['count']:,} of {guard['of']:,}, {guard['value']}"
    screen.say(
        f"{guard['guard']}{vendor}{side}: {share}; limit {guard['limit']}",
        indent=2,
    )
    for example in guard.get("examples", ()):
        after = "gone" if example["after"] is None else example["after"]
        screen.say(
            f"{example['sku']}: {example['before']} -> {after}",
            indent=6,
        )
