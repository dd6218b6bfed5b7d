"""What a dry run found in a config, for people."""

import json
from collections.abc import Mapping
from typing import Any

from relay_dagster.client.answers import ConfigCheck
from relay_dagster.client.failures import fault_lines
from relay_dagster.client.screen import Screen


def show_check(screen: Screen, check: ConfigCheck) -> None:
    """Write the verdict, then faults, doubts, what each vendor's file says, and the patch."""
    screen.say("valid" if check.valid else "not valid", style="green" if check.valid else "red")
    for title, found in (("faults", check.faults), ("doubts", check.doubts)):
        if found:
            screen.say()
            screen.say(title, style="bold")
            for line in fault_lines([each.as_json() for each in found]):
                screen.say(line, indent=2)
    for vendor in check.vendors:
        screen.say()
        _show_vendor(screen, vendor)
    if check.patch:
        screen.say()
        screen.say("a patch that would make it fit the files", style="bold")
        screen.show_json(check.patch)


def _show_vendor(screen: Screen, vendor: Mapping[str, Any]) -> None:
    screen.say(f"vendor {vendor.get('vendor_id')}", style="bold")
    for name, value in vendor.items():
        if name != "vendor_id" and value not in (None, [], {}, ""):
            screen.say(f"{name.replace('_', ' ')}: {_text(value)}", indent=2)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
