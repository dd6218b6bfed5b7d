"""What `config:check` answers with, as the OpenAPI document shows it. All of it is bounded.

Only shapes: what is checked, and how, is ``api/routes/config_checks.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from relay_core.config import ParserConfig
from relay_core.config.json_patch import PatchStep
from relay_core.onboarding.reading import Reading
from relay_dagster.api.models.runs_tenants import Fault

MOST_LISTED = 200
MOST_REFUSALS = 20
_LONGEST = 200
_SHORT = {"vendor_id", "status", "s3_key", "size", "last_modified"}
LONGEST_MESSAGE = 1000

_EXAMPLE_PATCH: dict[str, Any] = {"op": "add", "path": "/vendors/0/parser/delimiter", "value": ";"}
_EXAMPLE_VENDOR: dict[str, Any] = {
    "vendor_id": "granite_supply",
    "status": "read",
    "message": "as sent: missing required columns: 'sku' (nearest: 'sku;quantity_available;cost'); "
    "with the patch: none of 3 rows would be refused",
    "s3_key": "tenants/acme_parts/inbound/granite_supply/2026-03-01.csv",
    "size": 64,
    "last_modified": "2026-03-01T12:00:00Z",
    "headers": ["sku", "quantity_available", "cost"],
    "missing_headers": [],
    "unused_headers": [],
    "guesses": {
        "format": "csv",
        "compression": "auto",
        "sheet": None,
        "encoding": "utf-8",
        "delimiter": ";",
        "skip_lines": 0,
        "decimal_separator": ".",
        "thousands_separator": None,
        "currency_symbols": [],
    },
    "as_sent": {
        "usable": False,
        "rows": 3,
        "refused_rows": 0,
        "refusals": [],
        "error_code": "missing_required_columns",
        "error_message": "missing required columns: 'sku' (nearest: 'sku;quantity_available;cost')",
    },
    "with_patch": {
        "usable": True,
        "rows": 3,
        "refused_rows": 0,
        "refusals": [],
        "error_code": None,
        "error_message": None,
    },
}
_EXAMPLE: dict[str, Any] = {
    "tenant_id": "acme_parts",
    "valid": True,
    "faults": [],
    "doubts": [
        {"path": "pricing.base_margin_pct", "message": "20 means 2,000 %; 0.20 is 20 %"},
    ],
    "vendors": [_EXAMPLE_VENDOR],
    "patch": [_EXAMPLE_PATCH],
}

VendorStatus = Literal["read", "missing", "unreadable", "not_looked_at"]


def cut(text: str, most: int = _LONGEST) -> str:
    """Return a text that is not too long."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


class MissingHeaderFound(BaseModel):
    """A column that the file does not give."""

    column: str = Field(description="The canonical column.", examples=["cost"])
    header: str | None = Field(description="The header that the config maps, if it maps one.")
    nearest: str | None = Field(description="The file's header that is most like it.")


class Guesses(BaseModel):
    """How the file is probably written: the config's own options where nothing speaks against."""

    format: str
    compression: str
    sheet: str | None
    encoding: str
    delimiter: str
    skip_lines: int
    decimal_separator: str
    thousands_separator: str | None
    currency_symbols: list[str]

    @classmethod
    def of(cls, parser: ParserConfig) -> Guesses:
        """Return the options of a parser."""
        return cls(
            **{name: getattr(parser, name) for name in cls.model_fields}
            | {"currency_symbols": list(parser.currency_symbols)[:MOST_REFUSALS]}
        )


class RefusedCells(BaseModel):
    """Cells that are refused for one reason; the row and the text are those of the first."""

    error_code: str = Field(examples=["invalid_decimal"])
    column: str | None = Field(description="None where a record's cells do not fit the header.")
    count: int
    row_number: int
    value: str = Field(examples=["4,20"])


class HeadReading(BaseModel):
    """What a run would make of the file's first rows, at most 200."""

    usable: bool = Field(description="Whether a run would take the file.")
    rows: int
    refused_rows: int
    refusals: list[RefusedCells]
    error_code: str | None = Field(description="Why not, as `errors.json` of the run would say.")
    error_message: str | None

    @classmethod
    def of(cls, reading: Reading) -> HeadReading:
        """Return what callers see of a reading."""
        refusals = [
            RefusedCells(
                error_code=each.error_code,
                column=each.column,
                count=each.count,
                row_number=each.row_number,
                value=cut(each.value),
            )
            for each in reading.refusals[:MOST_REFUSALS]
        ]
        message = reading.error_message
        return cls(
            usable=reading.is_usable,
            rows=reading.rows,
            refused_rows=reading.refused_rows,
            refusals=refusals,
            error_code=reading.error_code,
            error_message=None if message is None else cut(message, LONGEST_MESSAGE),
        )


class VendorCheck(BaseModel):
    """A vendor's latest upload, as far as its first bytes tell."""

    vendor_id: str
    status: VendorStatus
    message: str = Field(description="What was found, for people.")
    s3_key: str | None = None
    size: int | None = None
    last_modified: datetime | None = None
    headers: list[str] = Field([], description="As they stand in the file; at most 200.")
    missing_headers: list[MissingHeaderFound] = []
    unused_headers: list[str] = []
    guesses: Guesses | None = None
    as_sent: HeadReading | None = Field(None, description="With the config as it was sent.")
    with_patch: HeadReading | None = Field(
        None, description="With `patch` applied; None where there is nothing to change."
    )

    def without_details(self) -> VendorCheck:
        """Return what is short of it."""
        short = self.model_dump(include=_SHORT)
        wanted = "the answer has no room for more of it: check fewer vendors at once"
        return VendorCheck(**short | {"message": f"{self.message}; {wanted}"})


class Operation(BaseModel):
    """A step of a JSON Patch (RFC 6902)."""

    op: Literal["add", "replace"]
    path: str = Field(
        description="A JSON Pointer into the config that was sent.",
        examples=["/vendors/1/parser/delimiter"],
    )
    value: Any = Field(examples=[";"])


ConfigPatch = RootModel[list[Operation]]
"""A JSON Patch as it is answered."""


class ConfigCheck(BaseModel):
    """What is wrong, and what is doubtful, in a config that was not stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    tenant_id: str
    valid: bool = Field(description="Whether the config has no faults.")
    faults: list[Fault] = Field(description="Why it would be refused.")
    doubts: list[Fault] = Field(description="What is valid and probably not meant.")
    vendors: list[VendorCheck] = Field(
        description="In the order of the config; none where it is too faulty to name them."
    )
    patch: list[Operation] = Field(
        description="A JSON Patch (RFC 6902) over the config that was sent, after which the "
        "uploads read better; empty where nothing is to be changed. It was tried on the uploads."
    )


def operations(steps: Sequence[PatchStep]) -> list[Operation]:
    """Return a patch as it is answered."""
    return [Operation(op=each.op, path=each.path, value=each.value) for each in steps]
