"""The answers of `config:check`, which ``api/routes/config_checks.py`` makes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from relay_dagster.wire.base import Fault, Open, ResponseBody

VendorCheckStatus = Literal["read", "missing", "unreadable", "not_looked_at"]


class MissingHeaderFound(ResponseBody):
    """A column that the file does not give."""

    column: str = Field(description="The canonical column.", examples=["cost"])
    header: str | None = Field(
        None, description="The header that the config maps, if it maps one."
    )
    nearest: str | None = Field(
        None, description="The file's header that is most like it."
    )


class Guesses(ResponseBody):
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


class RefusedCells(ResponseBody):
    """Cells that are refused for one reason; the row and the text are those of the first."""

    error_code: str = Field(examples=["invalid_decimal"])
    column: str | None = Field(
        None, description="None where a record's cells do not fit the header."
    )
    count: int
    row_number: int
    line: int | None = Field(
        None, description="In a CSV file, where it is another number."
    )
    sheet_row: int | None = Field(
        None, description="In a workbook, where it is another number."
    )
    value: str = Field(examples=["4,20"])


class HeadReading(ResponseBody):
    """A run's reading of the rows that were looked at."""

    usable: bool = Field(description="Whether a run would take the file.")
    rows: int
    refused_rows: int
    refusals: list[RefusedCells] = Field([])
    error_code: str | None = Field(
        None, description="Why not, as `errors.json` of the run would say."
    )
    error_message: str | None = None


class HeaderCandidate(ResponseBody):
    """A header that could be a column that no header surely is."""

    column: str = Field(description="The canonical column.", examples=["cost"])
    header: str
    score: float = Field(
        description="How like its name is to those of the column: 0 to 1."
    )
    samples: list[str] = Field(description="The first cells under it that differ.")


class DoubtFound(ResponseBody):
    """Something that is valid, and probably not meant."""

    code: str = Field("config", examples=["same_sku"])
    path: str
    vendor_id: str | None = None
    count: int | None = Field(None, description="Of how many rows.")
    samples: list[str] | None = Field(None, description="At most five.")
    message: str


class VendorCheck(ResponseBody):
    """A vendor's latest upload."""

    vendor_id: str
    status: Annotated[VendorCheckStatus, Open()]
    message: str = Field(description="What was found, for people.")
    s3_key: str | None = None
    size: int | None = None
    last_modified: datetime | None = None
    headers: list[str] = Field(
        [], description="As they stand in the file; at most 200."
    )
    missing_headers: list[MissingHeaderFound] = Field([])
    unused_headers: list[str] = Field([])
    candidates: list[HeaderCandidate] = Field(
        [],
        description="Of the columns that people have to name, the likeliest headers first.",
    )
    rows_looked_at: int | None = Field(None, description="How many rows were read.")
    whole: bool | None = Field(
        None, description="Whether these are all rows of the file."
    )
    guesses: Guesses | None = None
    as_sent: HeadReading | None = Field(
        None, description="With the config as it was sent."
    )
    with_patch: HeadReading | None = Field(
        None, description="With `patch` applied; None where there is nothing to change."
    )


class Operation(ResponseBody):
    """A step of a JSON Patch (RFC 6902)."""

    op: Annotated[Literal["add", "replace"], Open()]
    path: str = Field(
        description="A JSON Pointer into the config that was sent.",
        examples=["/vendors/1/parser/delimiter"],
    )
    value: Any = Field(examples=[";"])


class ConfigCheck(ResponseBody):
    """The faults and the doubts of a config that was not stored."""

    tenant_id: str
    valid: bool = Field(description="Whether the config has no faults.")
    faults: list[Fault] = Field([], description="Why it would be refused.")
    doubts: list[DoubtFound] = Field(
        [], description="What is valid and probably not meant."
    )
    vendors: list[VendorCheck] = Field(
        [],
        description="In the order of the config; none where it is too faulty to name them.",
    )
    patch: list[Operation] = Field(
        [],
        description="A JSON Patch (RFC 6902) over the config that was sent, after which the "
        "uploads read better; empty where nothing is to be changed. It was tried on the uploads.",
    )
