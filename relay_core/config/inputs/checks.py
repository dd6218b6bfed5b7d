"""The rules that join the parts of a vendor's input, and all inputs of a config."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

import relay_core.config.cross_checks as cross_checks
from relay_core.config.inputs.changes import ChangesConfig
from relay_core.config.inputs.parts import InboundConfig, InputPart, PartConfig
from relay_core.config.parser import ParserConfig, check_headers
from relay_core.config.refusals import refuse
from relay_core.domain.doors import (
    DOORS,
    FOLDER_SCHEMES,
    REQUEST_SCHEME,
    scheme_of,
)

MAX_FILES = 500
"""The number of files that a run may take of all inputs of a config."""
_BASE = "base"
"""The word for a vendor's base in messages; no part has this id."""
Path: TypeAlias = tuple[str | int, ...]


class Misfit(NamedTuple):
    """An option that does not go with others, and its refusal."""

    path: Path  # the steps from the section that is judged
    refusal: PydanticCustomError


class Vendor(Protocol):
    """The options of a vendor that describe its input."""

    @property
    def inbound(self) -> InboundConfig:
        """The place where files of the base arrive."""

    @property
    def parser(self) -> ParserConfig:
        """How files of the base are read."""

    @property
    def changes(self) -> ChangesConfig | None:
        """How files of the base are told apart."""

    @property
    def duplicate_skus(self) -> str:
        """The effect of several base rows with the same SKU."""

    @property
    def parts(self) -> tuple[PartConfig, ...]:
        """The options of the other parts."""

    @property
    def input_parts(self) -> tuple[InputPart, ...]:
        """The parts of the vendor's input in reading order."""


class InputAt(NamedTuple):
    """A part of an input of the config, at its path."""

    path: Path  # the steps from the config to the section of the part
    part: InputPart
    is_apart: bool  # whether its prefix must overlap with no other one


def refuse_all(section: str, misfits: Iterable[Misfit]) -> None:
    """Refuse every misfit of a section, each at its path.

    Raises:
        ValidationError: There is a misfit.
    """
    details = [
        InitErrorDetails(type=misfit.refusal, loc=misfit.path, input=None)
        for misfit in misfits
    ]
    if details:
        raise ValidationError.from_exception_data(section, details)


# --- the parts of a vendor ------------------------------------------------------------


def misfits_of_vendor(vendor: Vendor) -> Iterator[Misfit]:
    """Yield the options of a vendor's parts that do not go together."""
    # The part that gives a column, by column
    givers: dict[str, str] = {}
    part_ids = {_BASE}
    for index, part in enumerate(vendor.parts):
        path: Path = ("parts", index)
        if part.part_id in part_ids:
            yield Misfit((*path, "part_id"), _refused_id(part.part_id))
        part_ids.add(part.part_id)
        for position, column in enumerate(part.columns or ()):
            if column in givers:
                refusal = refuse(
                    f'{column} is already given by part "{givers[column]}"; remove it '
                    "from one of them",
                )
                yield Misfit((*path, "gives", position), refusal)
            givers.setdefault(column, part.part_id)
        if not part.required and part.columns is not None:
            refusal_of_optional = _refused_optional(
                part.columns,
                leaves_out=part.unmatched is not None,
            )
            if refusal_of_optional is not None:
                yield Misfit((*path, "required"), refusal_of_optional)
    yield from _misfits_of_files(
        (), vendor.inbound, vendor.parser, vendor.changes
    )
    yield from _misfits_of_columns((), vendor.parser, None, givers)
    for index, part in enumerate(vendor.parts):
        path = ("parts", index)
        if part.key in givers:
            refusal = refuse(
                f'{part.key} is given by part "{givers[part.key]}", so it cannot be a '
                "key; choose a column of the base",
            )
            yield Misfit((*path, "key"), refusal)
        yield from _misfits_of_files(
            path, part.inbound, part.parser, part.changes
        )
        yield from _misfits_of_columns(path, part.parser, part.columns, givers)
    if _has_changed_rows(vendor) and vendor.duplicate_skus == "compete":
        refusal = refuse(
            'must not be "compete" if the vendor has changes, because a delta replaces '
            "the row of a SKU; use first, last, sum or refuse",
        )
        yield Misfit(("duplicate_skus",), refusal)


def _has_changed_rows(vendor: Vendor) -> bool:
    """Return whether base rows come from files of changes."""
    return any(
        part.changes is not None and part.columns is None
        for part in vendor.input_parts
    )


def _refused_id(part_id: str) -> PydanticCustomError:
    if part_id == _BASE:
        return refuse(
            '"base" is the vendor\'s own file; choose another id',
        )
    return refuse(
        f'"{part_id}" appears more than once; give each part its own id',
    )


def _refused_optional(
    columns: Collection[str],
    *,
    leaves_out: bool,
) -> PydanticCustomError | None:
    """Return the refusal of a part that must not be optional; None if it may be."""
    if "quantity_available" in columns:
        return refuse(
            "must be true, because the part gives quantity_available; set it to true",
        )
    if leaves_out:
        return refuse(
            "must be true unless unmatched is null, because base rows without a row of "
            "the part are left out; set unmatched to null",
        )
    return None


def _misfits_of_columns(
    path: Path,
    parser: ParserConfig,
    columns: Collection[str] | None,
    givers: Mapping[str, str],
) -> Iterator[Misfit]:
    """Yield the columns that a parser maps or defaults, and that it does not read.

    ``columns`` are those that its part gives; None for a parser of base rows.
    """
    for option in ("column_map", "defaults"):
        for column in getattr(parser, option):
            if columns is None and column in givers:
                message = f'is given by part "{givers[column]}"; remove it here'
            elif columns is not None and column not in ("sku", *columns):
                message = "is not given by this part; add it to gives, or remove it here"
            else:
                continue
            yield Misfit((*path, "parser", option, column), refuse(message))


def _misfits_of_files(
    path: Path,
    inbound: InboundConfig,
    parser: ParserConfig,
    changes: ChangesConfig | None,
) -> Iterator[Misfit]:
    """Yield the options of files that do not go with ``changes``."""
    if changes is None:
        return
    pull = inbound.pull
    if pull is not None and scheme_of(pull.url) not in FOLDER_SCHEMES:
        schemes = " or ".join(FOLDER_SCHEMES)
        title = DOORS[REQUEST_SCHEME].title
        refusal = refuse(
            f"must be an {schemes} URL if there are changes, because {title} has no list "
            f"of files; use {schemes}, or remove changes",
        )
        yield Misfit((*path, "inbound", "pull", "url"), refusal)
    if changes.deleted is None:
        return
    try:
        check_headers([changes.deleted.column], parser.format, parser.record)
    except PydanticCustomError as refusal:
        yield Misfit((*path, "changes", "deleted", "column"), refusal)


# --- all inputs of a config -----------------------------------------------------------


def inputs_of_vendors(vendors: Iterable[Vendor]) -> Iterator[InputAt]:
    """Yield the parts of all vendors, each at its path in the config."""
    for vendor_index, vendor in enumerate(vendors):
        base, *parts = vendor.input_parts
        path: Path = ("vendors", vendor_index)
        yield InputAt(path, base, is_apart=False)
        for index, part in enumerate(parts):
            yield InputAt((*path, "parts", index), part, is_apart=True)


def misfits_of_inputs(inputs: Iterable[InputAt]) -> Iterator[Misfit]:
    """Yield the prefixes that overlap and must not, and the excess of files."""
    inputs = list(inputs)
    for number, judged in enumerate(inputs):
        prefix = judged.part.inbound.s3_prefix
        if prefix is None or not judged.is_apart:
            continue
        for index, compared in enumerate(inputs):
            compared_prefix = compared.part.inbound.s3_prefix
            # Of two that must be apart, the later one is refused.
            is_judged_there = compared.is_apart and index >= number
            if compared_prefix is None or is_judged_there:
                continue
            if cross_checks.overlap(prefix, compared_prefix):
                steps = (*compared.path, "inbound", "s3_prefix")
                name = ".".join(map(str, steps))
                refusal = refuse(
                    f"must not equal, contain, or lie in {name}, because each file "
                    "belongs to one input; choose another prefix",
                )
                yield Misfit((*judged.path, "inbound", "s3_prefix"), refusal)
                break
    file_count = sum(input_at.part.max_files for input_at in inputs)
    if file_count > MAX_FILES:
        refusal = refuse(
            f"a run may take {file_count:,} files of these inputs, but the limit is "
            f"{MAX_FILES}; lower max_deltas",
        )
        yield Misfit(("vendors",), refusal)
