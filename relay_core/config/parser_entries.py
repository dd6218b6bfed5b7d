"""The entries of a parser's options: words for quantities, defaults, names of columns."""

from datetime import UTC
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

import relay_core.config.cross_checks as cross_checks
import relay_core.config.values as values
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import describe, read_cell
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.gtins import read_gtin


def _check_word(
    quantity: int,
    entry: cross_checks.Entry,
    info: ValidationInfo,
) -> None:
    """Refuse a word's quantity if an equal word has another one."""
    word = str(entry.key).strip().casefold()
    if entry.seen.setdefault(word, quantity) != quantity:
        raise refuse(
            "appears more than once, because letter case is ignored; keep only one",
        )


def _check_default(
    text: str,
    entry: cross_checks.Entry,
    info: ValidationInfo,
) -> None:
    """Refuse a default that its column's rule would reject in a cell."""
    is_gtin = entry.key == cross_checks.context_of(info).gtin_column
    if is_gtin and text and read_gtin(text) is None:
        problem = describe(RowFault.INVALID_GTIN, entry.key, text)
        raise refuse(f"{problem}; correct or remove the default")
    if entry.key not in CANONICAL_COLUMNS:
        return
    parser: Any = SimpleNamespace(**info.data)
    try:
        read_cell(entry.key, text, parser, UTC)
    except CellError as error:
        fault = RowFault(error.error_code)
        problem = describe(fault, entry.key, text)
        raise refuse(
            f"{problem}; write the default the way the vendor writes its cells",
        ) from error
    except AttributeError:
        # An option that this column's rule needs is invalid and has its own fault.
        pass


def _check_new_text(
    text: str,
    entry: cross_checks.Entry,
    _: ValidationInfo,
) -> None:
    cross_checks.refuse_repeated(text, entry.seen)


def _read_nullable(
    name: Any,
    read: ValidatorFunctionWrapHandler,
    info: ValidationInfo,
) -> Any:
    """Read a column whose invalid cells can be null: one of four, or of GTINs."""
    gtin_column = cross_checks.context_of(info).gtin_column
    if gtin_column is not None and name == gtin_column:
        return name
    return read(name)


_Nullable = Literal["lead_time_days", "msrp", "condition", "updated_at"]
NullableColumn = Annotated[
    _Nullable,
    WrapValidator(_read_nullable),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(get_args(_Nullable))},
                cross_checks.ANY_EXTRA,
            ],
        },
    ),
]
QuantityWords = Annotated[
    dict[
        Annotated[values.Filled, BeforeValidator(cross_checks.refuse_bare)],
        Annotated[values.Quantity, cross_checks.judged(_check_word)],
    ],
    cross_checks.ENTRIES,
]
Defaults = Annotated[
    dict[
        cross_checks.MappedColumn,
        Annotated[values.Trimmed, cross_checks.judged(_check_default)],
    ],
    cross_checks.BY_COLUMN,
    cross_checks.ENTRIES,
]
ColumnNames = Annotated[
    tuple[
        Annotated[values.Trimmed, cross_checks.judged(_check_new_text)],
        ...,
    ],
    Field(min_length=1),
    cross_checks.ENTRIES,
]
