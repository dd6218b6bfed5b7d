"""Formats of timestamps: the strptime directives that give the same date on every machine."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator

import relay_core.config.values as values
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import EXCEL, shorten
from relay_core.domain.limits import MAX_QUOTED

_DIRECTIVES = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYz%")
# The directives of strptime that give each part of a date
_DATE_PARTS = {"year": "yYGcx", "month": "bBmcx", "day": "dcx"}
# A format must give back the dates of these two instants.
_PROBES = (
    datetime.fromisoformat("1971-02-03T04:05:06+00:00"),
    datetime.fromisoformat("2034-11-28T17:38:49+00:00"),
)


def _check_timestamp_format(form: str) -> str:
    """Refuse a strptime format that lacks a date, or depends on the machine."""
    if form == EXCEL:
        return form
    if len(form) > MAX_QUOTED:
        raise refuse(
            f"{shorten(form)} is longer than {MAX_QUOTED} characters; shorten it",
        )
    directives = re.findall(r"%(.?)", form, re.DOTALL)
    for directive in directives:
        if directive == "Z":
            raise refuse(
                "%Z is not supported, because the names of time zones differ between "
                "machines; use %z for an offset",
            )
        if directive not in _DIRECTIVES or not directive:
            raise refuse(
                f"%{directive} is not a supported strptime directive; for a percent sign, "
                "write %%",
            )
    missing_parts = []
    for part, part_directives in _DATE_PARTS.items():
        if not set(part_directives) & set(directives):
            missing_parts.append(part)
    if missing_parts:
        raise refuse(
            f"{shorten(form)} has no {' and no '.join(missing_parts)}; include all three "
            "parts of a date, for example %Y-%m-%d",
        )
    for probe in _PROBES:
        _check_probe(form, probe)
    return form


def _check_probe(form: str, probe: datetime) -> None:
    """Refuse a format that does not give back the date it was written from."""
    parts = re.split("(%.)", form)
    text = "".join(
        probe.strftime(part) if part.startswith("%") else part for part in parts
    )
    try:
        day = datetime.strptime(text, form).date()  # noqa: DTZ007  # only the date matters
    except (ValueError, OverflowError, re.error) as error:
        raise refuse(
            f"{shorten(form)} is not a format that strptime can read: {error}",
        ) from error
    if day != probe.date():
        raise refuse(
            f"{shorten(form)} does not read back the date that it writes; use a format "
            "without ambiguous parts, for example %Y-%m-%d",
        )


TimestampFormat = Annotated[
    values.Trimmed,
    AfterValidator(_check_timestamp_format),
]
