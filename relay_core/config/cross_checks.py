"""Rules of a config that join fields: keys of a tenant, kinds and what goes with them, defaults.

Readers here get pydantic's ``ValidationInfo``: the fields of the same section that were read
before and are sound, and the `LoadContext` of the whole config.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from pydantic import BeforeValidator, ValidationInfo

from relay_core.config.values import (
    FaultyValueError,
    distinct_list_of,
    list_of,
    mapping_of,
    nearest,
    read_column,
    read_filled_text,
    read_id,
    read_text,
    read_trimmed_text,
    refuse,
    whole_number,
)
from relay_core.domain.cell_rules import LARGEST_WHOLE, read_cell, shorten, strip
from relay_core.domain.columns import DERIVED_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.limits import DEFAULT_LIMITS, LONGEST_QUOTED, Limits

_LONGEST_KEY = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DIRECTIVES = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYz%")
_DATE_PARTS = {"year": "yYGcx", "month": "bBmcx", "day": "dcx"}
_PROBES = (
    datetime(1971, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2034, 11, 28, 17, 38, 49, tzinfo=UTC),
)


@dataclass(slots=True)
class LoadContext:
    """What the reading of one config knows across its sections."""

    tenant_id: str | None = None
    limits: Limits = DEFAULT_LIMITS
    vendor_ids: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)

    @classmethod
    def of_tenant(cls, tenant_id: Any, limits: Limits = DEFAULT_LIMITS) -> LoadContext:
        """Return the context of a config; without a sound id, keys are not held to it."""
        try:
            return cls(read_id(tenant_id), limits)
        except FaultyValueError:
            return cls(None, limits)


def at_most(limit: str) -> BeforeValidator:
    """Refuse a list or a mapping of more entries than a limit of `Limits`; none of them is read."""

    def check(value: Any, info: ValidationInfo) -> Any:
        most: int = getattr(_context(info).limits, limit)
        if isinstance(value, Sized) and not isinstance(value, str) and len(value) > most:
            raise refuse(f"has {len(value):,} entries; {most:,} are the most")
        return value

    return BeforeValidator(check)


def read_vendor_id(vendor_id: str, info: ValidationInfo) -> str:
    """Refuse a vendor's id that an earlier vendor of the config has."""
    seen = _context(info).vendor_ids
    if vendor_id in seen:
        raise refuse(f'"{vendor_id}" stands more than once; each vendor needs an id of its own')
    seen.add(vendor_id)
    return vendor_id


def read_known_vendors(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Read ids of vendors that the config has; where it has no list of them, any."""
    known = _context(info).vendor_ids

    def read_known(item: Any) -> str:
        vendor_id = read_id(item)
        if known and vendor_id not in known:
            raise refuse(
                f"the config has no vendor {shorten(vendor_id)}",
                lambda: nearest(vendor_id, sorted(known)),
            )
        return vendor_id

    return list_of(read_known, filled=True)(value)


def read_s3_prefix(value: Any, info: ValidationInfo) -> str:
    """Read a prefix under the tenant's own, as if it ended in a slash."""
    text = read_text(value)
    goes_with("s3", text, info)
    return _tenant_key(text if text.endswith("/") else f"{text}/", info)


def read_s3_key(value: Any, info: ValidationInfo) -> str:
    """Read the key of one object under the tenant's own prefix."""
    text = read_text(value)
    goes_with("s3", text, info)
    key = _tenant_key(text, info)
    if key.endswith("/"):
        raise refuse("is the key of a folder; name the file in it")
    return key


def read_local_path(value: Any) -> str:
    """Read a path, absolute or from the config file's folder."""
    path = read_text(value)
    if not strip(path) or "\0" in path:
        raise refuse("must name a file")
    return path


def goes_with(kind: str, value: str | None, info: ValidationInfo) -> str | None:
    """Refuse a field that its section's ``type`` needs and lacks, or has no use for."""
    found = info.data.get("type")
    if found == kind and value is None:
        raise refuse(f'is required where type is "{kind}"')
    if found is not None and found != kind and value is not None:
        raise refuse(f'goes with type "{kind}", and type is "{found}"; leave it out')
    return value


def refuse_idle(option: str, wanted: str, is_set: bool, info: ValidationInfo) -> None:
    """Refuse another value than the default where the option beside it gives it nothing to do."""
    found = info.data.get(option)
    if found not in (None, wanted) and is_set:
        raise refuse(f'applies with {option} "{wanted}", and that is "{found}"; leave it out')


FORMATS_WITH = {
    "compression": ("csv", "jsonl", "parquet"),
    "sheet": ("xlsx",),
    "delimiter": ("csv",),
    "encoding": ("csv", "jsonl"),
    "skip_lines": ("csv", "xlsx"),
    "columns": ("csv", "xlsx"),
}
"""Which formats of feeds an option of the parser says anything about; the others: all."""


def refuse_with_format(wanted: Collection[str], is_set: bool, info: ValidationInfo) -> None:
    """Refuse another value than the default of an option that only some formats have a use for."""
    found = info.data.get("format")
    if is_set and found is not None and found not in wanted:
        formats = " or ".join(f'"{each}"' for each in wanted)
        raise refuse(f'applies with format {formats}, and format is "{found}"; leave it out')


def read_thousands_separator(separator: str | None, info: ValidationInfo) -> str | None:
    """Refuse a thousands separator that is the decimal separator."""
    if separator is not None and separator == info.data.get("decimal_separator"):
        raise refuse(f'"{separator}" is the decimal separator already; the two must differ')
    return separator


def _read_mapped_column(column: str) -> None:
    if read_column(column) == "vendor_id":
        raise refuse("vendor_id never comes from the feed: it is the vendor's id in this config")


def _read_header(column: str, value: Any) -> str:
    _read_mapped_column(column)
    return read_filled_text(value)


read_column_map = mapping_of(_read_header)
"""Read which header each canonical column has, trimmed."""


read_columns = distinct_list_of(read_trimmed_text)
"""Read the names of a headerless file's columns, trimmed, each once."""


def read_output_column(value: Any) -> str:
    """Read the name of a column that a merged feed can have."""
    return read_column(value, *DERIVED_COLUMNS)


def read_new_header(header: str, info: ValidationInfo) -> str:
    """Refuse a header that an earlier column of the feed has."""
    seen = _context(info).headers
    if header in seen:
        raise refuse(f"{shorten(header)} stands more than once; keep one of them")
    seen.add(header)
    return header


_read_word_quantity = whole_number(most=LARGEST_WHOLE)


def read_quantity_words(value: Any) -> dict[str, int]:
    """Read words, trimmed, and their quantities; equal words must not differ in quantity."""
    quantities: dict[str, int] = {}

    def read_entry(word: str, quantity: Any) -> tuple[str, int]:
        name, number = read_filled_text(word), _read_word_quantity(quantity)
        if quantities.setdefault(name.casefold(), number) != number:
            raise refuse("stands twice, as words are compared in any case; keep one of them")
        return name, number

    return dict(mapping_of(read_entry)(value).values())


def read_timestamp_format(value: Any) -> str:
    """Read a strptime format that gives a whole date, the same one on every machine."""
    form = read_trimmed_text(value)
    if len(form) > LONGEST_QUOTED:
        raise refuse(f"{shorten(form)} is longer than {LONGEST_QUOTED} characters")
    directives = re.findall(r"%(.?)", form, re.DOTALL)
    for directive in directives:
        _check_directive(directive)
    missing = [part for part, given in _DATE_PARTS.items() if not set(given) & set(directives)]
    if missing:
        raise refuse(f"{shorten(form)} has no {' and no '.join(missing)}, as in %Y-%m-%d")
    for probe in _PROBES:
        _check_reads_back(form, probe)
    return form


def read_default(column: str, value: Any, info: ValidationInfo) -> str:
    """Read a default, trimmed, and refuse what its column's rule would refuse in a cell."""
    _read_mapped_column(column)
    text = read_trimmed_text(value)
    parser: Any = SimpleNamespace(**info.data)
    try:
        read_cell(column, text, parser, UTC)
    except CellError as error:
        raise refuse(str(error)) from error
    except AttributeError:
        pass  # an option that this column's rule needs has a fault of its own
    return text


def read_defaults(value: Any, info: ValidationInfo) -> dict[str, str]:
    """Read the text that stands in for each canonical column's nulls."""
    return mapping_of(lambda column, text: read_default(column, text, info))(value)


def _check_directive(directive: str) -> None:
    if directive == "Z":
        raise refuse(
            "%Z is not read, as the names of zones differ between machines; use %z for an offset"
        )
    if directive not in _DIRECTIVES or not directive:
        raise refuse(f"%{directive} is no directive of strptime that is read; %% is a percent sign")


def _check_reads_back(form: str, probe: datetime) -> None:
    text = re.sub("%(.)", lambda found: probe.strftime(found[0]), form)
    try:
        day = datetime.strptime(text, form).date()  # noqa: DTZ007  # only the date matters
    except (ValueError, OverflowError, re.error) as error:
        raise refuse(f"{shorten(form)} is no format that strptime reads: {error}") from error
    if day != probe.date():
        raise refuse(f"{shorten(form)} does not give back the date that it is written from")


def _tenant_key(key: str, info: ValidationInfo) -> str:
    tenant_id = _context(info).tenant_id
    prefix = "tenants/" if tenant_id is None else f"tenants/{tenant_id}/"
    if not key.startswith(prefix):
        hint = "; leave s3:// and the bucket out" if key.startswith("s3:") else ""
        raise refuse(f'must start with "{prefix}", not {shorten(key)}{hint}')
    if "//" in key or {".", ".."} & set(key.split("/")):
        raise refuse(f"must not hold //, nor . or .. between slashes: {shorten(key)}")
    if _CONTROL.search(key):
        raise refuse("must not hold control characters or line ends")
    if len(key.encode("utf-8")) > _LONGEST_KEY:
        raise refuse(f"is longer than the {_LONGEST_KEY} bytes that S3 allows")
    return key


def _context(info: ValidationInfo) -> LoadContext:
    return info.context if isinstance(info.context, LoadContext) else LoadContext()
