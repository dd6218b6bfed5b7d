"""What a dry run found in a config and in the vendors' latest files, for people."""

import json
from collections.abc import Iterator
from typing import Any

from relay_dagster.client.answers import ConfigCheck, PatchStep, Reading, VendorCheck
from relay_dagster.client.failures import fault_lines
from relay_dagster.client.screen import Screen, instant


def show_check(screen: Screen, check: ConfigCheck) -> None:
    """Write the verdict, then faults, doubts, what each vendor's file says, and the patch."""
    screen.say(_verdict(check), style="green" if check.valid else "red")
    for title, found in (("faults", check.faults), ("doubts", check.doubts)):
        if found:
            screen.say()
            screen.say(title, style="bold")
            for line in fault_lines([each.as_json() for each in found]):
                screen.say(line, indent=2)
    for vendor in check.vendors:
        screen.say()
        screen.say(f"vendor {vendor.vendor_id}: {vendor.message}", style="bold")
        for line in _findings(vendor):
            screen.say(line, indent=2)
    if check.patch:
        screen.say()
        screen.say("with these changes the files would read better", style="bold")
        for step in check.patch:
            screen.say(f"{_place(step)}: {_json(step.value)}", indent=2, style="green")


def _verdict(check: ConfigCheck) -> str:
    if not check.valid:
        return f"not valid: {len(check.faults)} fault{'s' if len(check.faults) > 1 else ''}"
    return f"valid, with {len(check.doubts)} in doubt" if check.doubts else "valid"


def _findings(vendor: VendorCheck) -> Iterator[str]:
    if vendor.s3_key is not None:
        yield f"file: {vendor.s3_key}, {vendor.size or 0:,} bytes, {instant(vendor.last_modified)}"
    for missing in vendor.missing_headers:
        mapped = f", mapped to {_json(missing.header)}" if missing.header else ""
        nearest = f"; the nearest is {_json(missing.nearest)}" if missing.nearest else ""
        yield f"missing: {missing.column}{mapped}{nearest}"
    if vendor.unused_headers:
        yield f"not used: {', '.join(vendor.unused_headers)}"
    if vendor.guesses is not None:
        guesses = vendor.guesses.items()
        yield f"probably written with: {', '.join(f'{k} {_json(v)}' for k, v in guesses)}"
    yield from _reading("as the config stands", vendor.as_sent)
    yield from _reading("with the changes below", vendor.with_patch)


def _reading(title: str, reading: Reading | None) -> Iterator[str]:
    if reading is None:
        return
    if not reading.usable:
        yield f"{title}: not usable, {reading.error_code}: {reading.error_message}"
        return
    yield f"{title}: {reading.rows:,} rows looked at, {reading.refused_rows:,} refused"
    for each in reading.refusals:
        column = f" in {each.column}" if each.column else ""
        first = f"first in row {each.row_number}, {_json(each.value)}"
        yield f"  {each.count:,} x {each.error_code}{column}, {first}"


def _place(step: PatchStep) -> str:
    """Return a JSON Pointer as the paths of faults are written."""
    names = step.path.removeprefix("/").split("/")
    return ".".join(name.replace("~1", "/").replace("~0", "~") for name in names)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
