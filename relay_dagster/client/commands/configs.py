"""Commands about tenants' configs: check, store, and retrieve them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from relay_core.domain.input_names import name_of
from relay_core.domain.records import location_in_words
from relay_dagster.client.api_client import JSON, tenant_path
from relay_dagster.client.config_files import (
    json_text,
    read_config_file,
    tenant_of,
)
from relay_dagster.client.errors import fault_lines
from relay_dagster.client.session import (
    Output,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.config_checks import (
    ConfigCheck,
    HeadReading,
    VendorCheck,
)
from relay_dagster.wire.tenants import ConfigVersion

commands = typer.Typer()
ConfigFile = Annotated[Path, argument("FILE", "Config file, YAML or JSON.")]


@command(commands)
def check(
    session: Session,
    file: ConfigFile,
    tenant: Annotated[
        str | None,
        option("Tenant ID; by default the tenant_id of the config."),
    ] = None,
) -> Output:
    """Validate a config, and try it on the vendors' latest files.

    Nothing is stored. The exit status is 1 if the config is not valid.
    """
    document = read_config_file(file)
    path = f"{tenant_path(tenant_of(document, tenant))}/config:check"
    result = session.api.request(
        ConfigCheck,
        "POST",
        path,
        content=json_text(document).encode(),
        headers=JSON,
    )
    return Output(
        result,
        lambda: show_check(session.screen, result),
        lambda: 0 if result.valid else 1,
    )


@command(commands)
def put(
    session: Session,
    file: ConfigFile,
    if_match: Annotated[
        int | None,
        option(
            "Store only if this is the latest version, so that no change is overwritten.",
            min=1,
        ),
    ] = None,
) -> None:
    """Store a config as the tenant's new version, and print the version."""
    document = read_config_file(file)
    headers = JSON
    if if_match is not None:
        headers = {**JSON, "If-Match": f'"{if_match}"'}
    stored = session.api.request(
        ConfigVersion,
        "PUT",
        tenant_path(tenant_of(document, None), "config"),
        content=json_text(document).encode(),
        headers=headers,
    )
    session.screen.say(
        f"{stored.tenant_id}: config version {stored.config_version}",
    )


@command(commands)
def get(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Tenant ID.")],
    version: Annotated[
        int | None,
        option("Version of the config.", show_default="latest", min=1),
    ] = None,
) -> None:
    """Print a config as JSON, as it takes effect.

    Its version goes to standard error.
    """
    stored = session.api.config(tenant, version)
    session.screen.show_json(stored.tenant_config)
    stored_at = instant(stored.stored_at)
    session.screen.complain(
        f"Config version {stored.config_version}, stored {stored_at}",
    )


def show_check(screen: Screen, result: ConfigCheck) -> None:
    """Write the result of a check: verdict, faults, doubts, vendors' files, and patch."""
    screen.say(_verdict(result), style="green" if result.valid else "red")
    if result.faults:
        faults = [fault.as_json() for fault in result.faults]
        screen.section("errors", fault_lines(faults))
    if result.doubts:
        doubts = [doubt.as_json() for doubt in result.doubts]
        screen.section("doubts", fault_lines(doubts))
    for vendor in result.vendors:
        if vendor.status != "not_looked_at" or result.valid:
            name = name_of(vendor.vendor_id, vendor.part_id or None)
            title = f"vendor {name}: {_state(vendor)}"
            screen.section(title, _findings(vendor))
    if result.patch:
        screen.section(
            "suggested changes that improve the reading of the files",
        )
    for step in result.patch:
        path = _dotted_path(step.path)
        screen.say(f"{path}: {_json(step.value)}", indent=2, style="green")


def _verdict(result: ConfigCheck) -> str:
    if not result.valid:
        plural = "s" if len(result.faults) > 1 else ""
        return f"not valid: {len(result.faults)} error{plural}"
    unusable_vendors = [
        name_of(vendor.vendor_id, vendor.part_id or None)
        for vendor in result.vendors
        if vendor.as_sent and not vendor.as_sent.usable
    ]
    reservations = []
    if result.doubts:
        plural = "s" if len(result.doubts) > 1 else ""
        reservations.append(f"with {len(result.doubts)} doubt{plural}")
    if unusable_vendors:
        reservations.append(
            f"unable to read the latest file of {', '.join(unusable_vendors)}",
        )
    if reservations:
        return f"valid, but {' and '.join(reservations)}"
    return "valid"


def _state(vendor: VendorCheck) -> str:
    """Return in one line how the config reads a vendor's file."""
    reading = vendor.as_sent
    if reading is None:
        return vendor.message
    if not reading.usable and (vendor.missing_headers or vendor.with_patch):
        # The lines below list what to do.
        return f"{reading.error_code}"
    if not reading.usable:
        return f"{reading.error_code}: {reading.error_message}"
    rows = f"{reading.rows:,} rows"
    if not vendor.whole:
        rows = f"the first {rows}"
    return f"{reading.refused_rows:,} of {rows} would be rejected"


def _findings(vendor: VendorCheck) -> Iterator[str]:
    """Yield the details of how the config reads a vendor's file."""
    if vendor.s3_key is not None:
        uploaded_at = instant(vendor.last_modified)
        yield f"file: {vendor.s3_key}, {vendor.size or 0:,} bytes, {uploaded_at}"
    for missing in vendor.missing_headers:
        mapped = (
            f", mapped to {_json(missing.header)}" if missing.header else ""
        )
        nearest = ""
        if missing.nearest:
            nearest = f"; nearest header {_json(missing.nearest)}"
        yield f"missing column: {missing.column}{mapped}{nearest}"
    if vendor.unused_headers:
        yield f"unused headers: {', '.join(vendor.unused_headers)}"
    yield from _rejected_cells(vendor.as_sent)
    if vendor.with_patch is not None:
        guesses = vendor.guesses.as_json() if vendor.guesses else {}
        options = [f"{name} {_json(value)}" for name, value in guesses.items()]
        yield f"probable format: {', '.join(options)}"
        patched = vendor.with_patch
        yield (
            f"with the changes below: {patched.refused_rows:,} of {patched.rows:,} rows "
            "would be rejected"
        )
        yield from _rejected_cells(patched)


def _rejected_cells(reading: HeadReading | None) -> Iterator[str]:
    if reading is None or not reading.usable:
        return
    for cells in reading.refusals:
        column = f" in {cells.column}" if cells.column else ""
        place = location_in_words(cells.row_number, cells.line, cells.sheet_row)
        yield (
            f"  {cells.count:,} x {cells.error_code}{column}, first in {place}, "
            f"{_json(cells.value)}"
        )


def _dotted_path(pointer: str) -> str:
    """Return a JSON Pointer in the form of a fault's path, with dots."""
    names = [
        name.replace("~1", "/").replace("~0", "~")
        for name in pointer.removeprefix("/").split("/")
    ]
    return ".".join(names)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
