"""Configs of tenants: checked, stored, and got back; config files as the API takes them.

YAML or JSON becomes JSON, each number in its own digits; whether that is valid the API says.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from relay_core.config import load_config, parse_document
from relay_core.config.plain_values import plain_document
from relay_core.config.scalars import BareWord, NumberText
from relay_core.domain.records import place_in_words
from relay_dagster.client.api_client import JSON, tenant_path
from relay_dagster.client.errors import BadUsageError, fault_lines
from relay_dagster.client.session import Session, Shown, argument, command, option
from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.config_checks import ConfigCheck, HeadReading, VendorCheck
from relay_dagster.wire.tenants import ConfigVersion

config = typer.Typer()
ConfigFile = Annotated[Path, argument("FILE", "A config, YAML or JSON.")]


@command(config)
def check(
    session: Session,
    file: ConfigFile,
    tenant: Annotated[
        str | None, option("Whose config it is; else its tenant_id.")
    ] = None,
) -> Shown:
    """Judge a config against the rules and the vendors' latest files; stores nothing."""
    document = read_config_file(file)
    path = f"{tenant_path(tenant_of(document, tenant))}/config:check"
    text = json_text(document).encode()
    found = session.api.ask(ConfigCheck, "POST", path, content=text, headers=JSON)
    return Shown(
        found, lambda: show_check(session.screen, found), lambda: int(not found.valid)
    )


@command(config)
def put(
    session: Session,
    file: ConfigFile,
    if_match: Annotated[
        int | None,
        option(
            "Only where this is the latest version, so nobody's is passed over.", min=1
        ),
    ] = None,
) -> None:
    """Store a config as its tenant's new version, and print that version."""
    document = read_config_file(file)
    headers = JSON if if_match is None else {**JSON, "If-Match": f'"{if_match}"'}
    path, text = tenant_path(tenant_of(document, None), "config"), json_text(document)
    stored = session.api.ask(
        ConfigVersion, "PUT", path, content=text.encode(), headers=headers
    )
    session.screen.say(f"{stored.tenant_id}: config version {stored.config_version}")


@command(config)
def get(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Whose config.")],
    version: Annotated[
        int | None, option("Which version.", default="the latest", min=1)
    ] = None,
) -> None:
    """Print a config as JSON, as it takes effect; its version goes to standard error."""
    stored = session.api.config(tenant, version)
    session.screen.show_json(stored.tenant_config)
    when = instant(stored.stored_at)
    session.screen.complain(f"config version {stored.config_version}, stored {when}")


def show_check(screen: Screen, check: ConfigCheck) -> None:
    """Write the verdict, then faults, doubts, what each vendor's file says, and the patch."""
    screen.say(_verdict(check), style="green" if check.valid else "red")
    for title, found in (("faults", check.faults), ("doubts", check.doubts)):
        if found:
            screen.section(title, fault_lines([each.as_json() for each in found]))
    for vendor in check.vendors:
        if vendor.status != "not_looked_at" or check.valid:
            screen.section(
                f"vendor {vendor.vendor_id}: {_state(vendor)}", _findings(vendor)
            )
    if check.patch:
        screen.section("with these changes the files would read better")
        for step in check.patch:
            # A JSON Pointer as the paths of faults are written.
            names = step.path.removeprefix("/").split("/")
            place = ".".join(
                name.replace("~1", "/").replace("~0", "~") for name in names
            )
            screen.say(f"{place}: {_json(step.value)}", indent=2, style="green")


def _verdict(check: ConfigCheck) -> str:
    if not check.valid:
        return f"not valid: {len(check.faults)} fault{'s' if len(check.faults) > 1 else ''}"
    unfit = [
        each.vendor_id
        for each in check.vendors
        if each.as_sent and not each.as_sent.usable
    ]
    but = [f"{len(check.doubts)} in doubt"] if check.doubts else []
    but += [f"it does not fit the latest file of {', '.join(unfit)}"] if unfit else []
    return f"valid, but {' and '.join(but)}" if but else "valid"


def _state(vendor: VendorCheck) -> str:
    reading = vendor.as_sent
    if reading is None:
        return vendor.message
    if not reading.usable and (vendor.missing_headers or vendor.with_patch):
        return f"{reading.error_code}"  # what is to be done is listed below
    if not reading.usable:
        return f"{reading.error_code}: {reading.error_message}"
    which = "" if vendor.whole else "the first "
    return f"{reading.refused_rows:,} of {which}{reading.rows:,} rows would be refused"


def _findings(vendor: VendorCheck) -> Iterator[str]:
    if vendor.s3_key is not None:
        yield f"file: {vendor.s3_key}, {vendor.size or 0:,} bytes, {instant(vendor.last_modified)}"
    for missing in vendor.missing_headers:
        mapped = f", mapped to {_json(missing.header)}" if missing.header else ""
        nearest = (
            f"; the nearest is {_json(missing.nearest)}" if missing.nearest else ""
        )
        yield f"missing: {missing.column}{mapped}{nearest}"
    if vendor.unused_headers:
        yield f"not used: {', '.join(vendor.unused_headers)}"
    yield from _refusals(vendor.as_sent)
    if vendor.with_patch is not None:
        guesses = (vendor.guesses.as_json() if vendor.guesses else {}).items()
        yield f"probably written with: {', '.join(f'{k} {_json(v)}' for k, v in guesses)}"
        after = vendor.with_patch
        yield f"with the changes below: {after.refused_rows:,} of {after.rows:,} rows refused"
        yield from _refusals(after)


def _refusals(reading: HeadReading | None) -> Iterator[str]:
    for each in reading.refusals if reading and reading.usable else ():
        column = f" in {each.column}" if each.column else ""
        place = place_in_words(each.row_number, each.line, each.sheet_row)
        first = f"first in {place}, {_json(each.value)}"
        yield f"  {each.count:,} x {each.error_code}{column}, {first}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the document of a file: JSON where its name ends in ``.json``, else YAML.

    `BadUsageError`: it cannot be read; `ConfigError`: it is none, or one that JSON cannot carry.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadUsageError(f"{path}: {error.strerror or error}") from error
    document = parse_document(data, format="json" if path.suffix == ".json" else "yaml")
    plain_document(document)  # refuses what is nested too deeply to be walked through
    if _has_bare_key(document):
        # JSON has text keys only: there `no: 0` would pass for `"no": 0`, which was not meant.
        load_config(document)
    return document


def json_text(value: Any) -> str:
    """Return a document as JSON, in which a number has the digits that the file had.

    A number that JSON has no form for (``007``) is text, as the API itself keeps it.
    """
    if isinstance(value, NumberText) and _JSON_NUMBER.fullmatch(value):
        return str(value)
    if isinstance(value, Mapping):
        pairs = (
            f"{json.dumps(str(key))}: {json_text(item)}" for key, item in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value)


def tenant_of(document: Mapping[str, Any], given: str | None) -> str:
    """Return whose config it is, as given or as it says; `BadUsageError`: neither says."""
    tenant_id = given or document.get("tenant_id")
    if (
        isinstance(tenant_id, int | str)
        and not isinstance(tenant_id, bool)
        and str(tenant_id)
    ):
        return str(tenant_id)
    raise BadUsageError("the config names no tenant_id; put it in, or give --tenant")


def _has_bare_key(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(
            not isinstance(k, str) or isinstance(k, BareWord) for k in value
        ) or any(map(_has_bare_key, value.values()))
    return isinstance(value, list) and any(map(_has_bare_key, value))
