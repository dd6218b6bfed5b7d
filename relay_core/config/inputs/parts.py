"""The parts of a vendor's input: their files, the columns that these give, and changes.

The first part is the *base*, which the vendor's own options describe. The options in
``parts`` describe the others. A vendor of one file has one part.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_serializer,
)

import relay_core.config.cross_checks as cross_checks
import relay_core.config.values as values
from relay_core.config.inputs.changes import ChangesConfig
from relay_core.config.inputs.uploads import (
    AnyUpload,
    FileKind,
    name_of_upload,
)
from relay_core.config.parser import ParserConfig
from relay_core.config.pulls import PullConfig
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import shorten
from relay_core.domain.columns import CANONICAL_COLUMNS

MAX_PARTS = 8
"""The number of parts of a vendor beside its base."""
_NEVER_GIVEN = ("sku", "vendor_id")
"""The canonical columns that no part gives to base rows."""
_GIVABLE = [
    column for column in CANONICAL_COLUMNS if column not in _NEVER_GIVEN
]


def _check_pattern(path: str) -> str:
    folder, _, _ = path.rpartition("/")
    if "*" in folder or "?" in folder:
        raise refuse(
            "may have * and ? only in its last part, the name of the file"
        )
    if path.endswith("/"):
        raise refuse("must be the path of a file, not of a folder")
    return path


_PatternedPath = Annotated[
    str,
    AfterValidator(cross_checks.check_local_path),
    AfterValidator(_check_pattern),
]
_InboundPath = Annotated[
    _PatternedPath,
    Field(
        description="Relative to the folder of the config file. `*` and `?` in its last "
        "part name the newest file that matches.",
    ),
]
"""The path of a vendor's file, which may be a pattern in its last part."""


class InboundConfig(values.Section):
    """Where a vendor's files arrive; a slash at the end of `s3_prefix` is implied."""

    type: Literal["s3", "local"]
    s3_prefix: cross_checks.S3Prefix = values.optional()
    path: Annotated[
        _InboundPath | None,
        cross_checks.idle_without("type", "local"),
    ] = None
    pull: Annotated[
        PullConfig | None,
        cross_checks.idle_without("type", "s3"),
    ] = None

    @model_serializer(mode="wrap")
    def _without_absent_path(
        self,
        serialize: SerializerFunctionWrapHandler,
    ) -> dict[str, Any]:
        # Snapshots of configs without a path stay as they were before there were paths.
        document: dict[str, Any] = serialize(self)
        if self.path is None:
            del document["path"]
        return document


# --- options of parts -----------------------------------------------------------------


def _check_given(column: str, entry: cross_checks.Entry, _: Any) -> None:
    if column == "sku":
        raise refuse(
            "sku cannot be given, because it is the key of the part; remove it",
        )
    cross_checks.refuse_repeated(column, entry.seen)


_COLUMNS: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[
        tuple[
            Annotated[
                cross_checks.MappedColumn,
                cross_checks.judged(_check_given),
            ],
            ...,
        ],
        Field(min_length=1),
        cross_checks.ENTRIES,
    ],
    config={"coerce_numbers_to_str": True},
)


def _read_gives(
    value: Any,
    _: ValidatorFunctionWrapHandler,
    info: ValidationInfo,
) -> Any:
    if value == "rows":
        return value
    if not isinstance(value, list | tuple):
        raise refuse('must be "rows" or a list of columns')
    return _COLUMNS.validate_python(value, context=info.context)


def _read_unmatched(value: Any) -> Any:
    if value not in ("leave_out", "null", None):
        raise refuse(f'must be "leave_out" or null, not {shorten(str(value))}')
    return None if value == "null" else value


def _check_key(key: str, info: ValidationInfo) -> str:
    extra_columns = cross_checks.context_of(info).extra_columns
    if key not in ("sku", "vendor_sku", *extra_columns):
        raise refuse(
            f"must be sku, vendor_sku or an extra column, not {shorten(key)}",
        )
    return key


_Gives: TypeAlias = Literal["rows"] | tuple[str, ...]
_ANY_GIVABLE = {
    "anyOf": [
        {"enum": _GIVABLE},
        cross_checks.ANY_EXTRA,
    ],
}
Gives = Annotated[
    _Gives,
    WrapValidator(_read_gives),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "rows"},
                {"type": "array", "minItems": 1, "items": _ANY_GIVABLE},
            ],
        },
    ),
    Field(description="`rows`, or the columns that the part gives."),
]
_Unmatched = Annotated[
    Literal["leave_out"] | None,
    BeforeValidator(_read_unmatched),
    WithJsonSchema({"enum": ["leave_out", "null", None]}),
    Field(
        description="What becomes of a base row that no row of the part matches.",
    ),
]
_Key = Annotated[
    values.Filled,
    AfterValidator(_check_key),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["sku", "vendor_sku"]},
                cross_checks.ANY_EXTRA,
            ],
        },
    ),
    Field(
        description="The column of a base row that the part's `sku` equals.",
    ),
]


class PartConfig(values.Section):
    """Describes more files of a vendor, with base rows or with columns of base rows."""

    part_id: values.Id
    gives: Gives
    inbound: InboundConfig = values.empty_section()
    parser: ParserConfig = values.empty_section()
    required: values.Bool = True
    key: _Key = "sku"
    unmatched: _Unmatched = "leave_out"
    duplicate_skus: Literal["first", "last", "sum", "refuse"] = "refuse"
    max_feed_age_hours: values.HoursOfYear | None = None
    changes: ChangesConfig | None = None

    @field_validator("key", "unmatched", "duplicate_skus")
    @classmethod
    def _goes_with_columns(
        cls,
        value: str | None,
        info: ValidationInfo,
    ) -> str | None:
        default = cls.model_fields[str(info.field_name)].default
        if info.data.get("gives") == "rows" and value != default:
            raise refuse(
                'applies only if gives is a list of columns, but gives is "rows"; '
                "remove it",
            )
        return value

    @field_validator("duplicate_skus")
    @classmethod
    def _has_quantities(cls, value: str, info: ValidationInfo) -> str:
        gives = info.data.get("gives", ())
        lacks_quantity = bool(gives) and "quantity_available" not in gives
        if value == "sum" and gives != "rows" and lacks_quantity:
            raise refuse(
                "must be first, last or refuse, because the part does not give "
                "quantity_available",
            )
        return value

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns that the part gives to base rows; None if it gives rows."""
        return None if self.gives == "rows" else tuple(self.gives)

    def as_input(
        self, given: Collection[str], duplicate_base_skus: str
    ) -> "InputPart":
        """Return the part among those of its vendor.

        Args:
            given: The columns that parts of the vendor give.
            duplicate_base_skus: The vendor's policy for base rows with the same SKU.
        """
        deleted = None if self.changes is None else self.changes.deleted
        if self.columns is None:
            parser = self.parser.reading(without=given, deleted=deleted)
        else:
            columns = ("sku", *self.columns)
            parser = self.parser.reading(
                only=columns,
                deleted=deleted,
                key=self.key,
            )
        return InputPart(
            part_id=self.part_id,
            inbound=self.inbound,
            parser=parser,
            changes=self.changes,
            max_feed_age_hours=self.max_feed_age_hours,
            required=self.required,
            columns=self.columns,
            key=self.key,
            leaves_out=self.unmatched is not None,
            duplicate_skus=(
                duplicate_base_skus
                if self.columns is None
                else self.duplicate_skus
            ),
        )


# --- all parts ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InputPart:
    """One part of a vendor's input: where its files arrive, and how they are read."""

    part_id: str | None  # None for the base
    inbound: InboundConfig
    parser: ParserConfig  # reads only the columns that the part's files have
    changes: ChangesConfig | None = None
    max_feed_age_hours: int | None = None
    required: bool = True  # whether the vendor cannot be used without the part
    # The columns that the part gives to base rows; None if its rows are base rows
    columns: tuple[str, ...] | None = None
    key: str = "sku"  # the column of a base row that the part's ``sku`` equals
    # Whether base rows that it does not match are left out
    leaves_out: bool = True
    duplicate_skus: str = "refuse"

    @property
    def gives_quantity(self) -> bool:
        """True if the quantity of base rows is read from the part's files."""
        return "quantity_available" in self.parser.readable_columns

    @property
    def max_files(self) -> int:
        """The number of files that a run may take of the part."""
        return 1 if self.changes is None else 1 + self.changes.max_deltas

    def kind_of(self, key: str) -> FileKind | None:
        """Return whether an upload is full or a delta, by its key.

        Return None if it is not an input.
        """
        if self.changes is None:
            return "full"
        prefix = self.inbound.s3_prefix or ""
        return self.changes.kind_of(name_of_upload(key, prefix))

    def chosen(self, uploads: Iterable[AnyUpload]) -> list[AnyUpload]:
        """Return the uploads that are the input now, in reading order.

        They are the newest full file and every delta after it, or the newest upload if
        the part has no changes. There are none without a full file.
        """
        ordered = sorted(
            uploads,
            key=lambda upload: (upload.last_modified, upload.key),
        )
        kinds = [self.kind_of(upload.key) for upload in ordered]
        if "full" not in kinds:
            return []
        start = len(kinds) - 1 - kinds[::-1].index("full")
        following = zip(ordered[start:], kinds[start:], strict=True)
        return [upload for upload, kind in following if kind is not None]


# --- files of an earlier run -----------------------------------------------------------


class FileOfPart(Protocol):
    """A file of one part of a vendor's input."""

    @property
    def part_id(self) -> str | None:
        """The part's id; None for the base."""


_AnyFile = TypeVar("_AnyFile", bound=FileOfPart)


def files_read(
    parts: Iterable[InputPart],
    files: Sequence[_AnyFile],
) -> list[_AnyFile]:
    """Return the files of an earlier input that a vendor's parts read now, in order.

    A vendor that had several files then and has one now has the base's newest full.
    """
    files_of_parts = []
    for part in parts:
        files_of_part = [file for file in files if file.part_id == part.part_id]
        if part.changes is None:
            files_of_part = files_of_part[:1]
        files_of_parts += files_of_part
    return files_of_parts


def has_required(
    parts: Iterable[InputPart],
    files: Iterable[FileOfPart],
) -> bool:
    """Return whether each part that a vendor cannot be used without has a file."""
    part_ids = {file.part_id for file in files}
    return all(part.part_id in part_ids for part in parts if part.required)
