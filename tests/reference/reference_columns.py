"""One cell of a row, made of one part or several: for tests only."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from reference_cells import (
    LARGEST_MONEY,
    LARGEST_WHOLE,
    MONEY,
    FaultError,
    number_parts,
    quantity,
    read_cell,
    small_exponent,
    without_symbols,
)

MISSING = {"sku": "missing_sku", "quantity_available": "missing_quantity"}


def value_of(
    column: str,
    cells: Sequence[str],
    parser: Any,
    zone: Any,
    rate: Fraction | None = None,
) -> Any:
    """Return a row's value of a column; ``FaultError`` has the code and the cell at fault."""
    source = parser.column_map.get(column, column)
    options = {} if isinstance(source, str) else source.model_dump(mode="json")
    try:
        if "sum" in options:
            value = summed(column, cells, parser)
        else:
            value = changed(column, cells, parser, zone, options, rate)
    except FaultError:
        if column not in parser.invalid_as_null:
            raise
        return None
    if value is None:
        default = parser.defaults.get(column, "").strip()
        if default:
            value = (
                amount(default, parser, rate)
                if column in MONEY
                else read_cell(column, default, parser, zone)
            )
    if value is STAYS_NULL or value is None:
        if column in MISSING:
            raise FaultError(MISSING[column])
        return None
    return value


STAYS_NULL = object()


def part_text(column: str, cell: str, parser: Any) -> str:
    """Return a trimmed cell; empty where it is one of the column's nulls."""
    text = cell.strip()
    nulls = parser.null_values
    words = (
        [*nulls.get(column, ()), *nulls.get("*", ())]
        if isinstance(nulls, dict)
        else nulls
    )
    return (
        ""
        if text.casefold() in [word.strip().casefold() for word in words]
        else text
    )


def summed(column: str, cells: Sequence[str], parser: Any) -> int | None:
    total = 0
    is_null = True
    fault = None
    for cell in cells:
        text = part_text(column, cell, parser)
        if not text:
            continue
        is_null = False
        try:
            total += stock(text, parser)
        except FaultError as error:
            fault = fault or FaultError(error.args[0], cell)
    if fault is not None:
        raise fault
    if total > LARGEST_WHOLE:
        raise FaultError("invalid_quantity", cells[0])
    return None if is_null else total


def stock(text: str, parser: Any) -> int:
    """Read a quantity with the words and symbols of the parser; below zero it may be 0."""
    words = [word.strip().casefold() for word in parser.quantity_words]
    if text.casefold() not in words:  # and what is left of it is none, either
        text = without_units(text, parser.quantity_symbols)
        parser = parser.model_copy(update={"quantity_words": {}})
    try:
        return quantity(text, parser)
    except FaultError as fault:
        if (
            fault.args[0] == "negative_quantity"
            and parser.negative_quantity == "zero"
        ):
            return 0
        raise


def without_units(text: str, symbols: Sequence[str]) -> str:
    ordered = sorted(symbols, key=len, reverse=True)
    for symbol in ordered:
        if symbol != "+" and text[: len(symbol)].lower() == symbol.lower():
            text = text[len(symbol) :].lstrip()
            break
    for symbol in ordered:
        if text and text[-len(symbol) :].lower() == symbol.lower():
            text = text[: -len(symbol)].rstrip()
            break
    return text


def changed(
    column: str,
    cells: Sequence[str],
    parser: Any,
    zone: Any,
    said: Any,
    rate: Fraction | None,
) -> Any:
    if not cells:
        return None
    text, cell = text_of(column, cells, parser, said)
    if not text:
        return None
    try:
        factor = Fraction(1) if rate is None else rate
        if column in MONEY:
            if column in parser.zero_is_null and is_zero(text, parser):
                return STAYS_NULL
            if rate is None and not {"times", "divided_by"} & said.keys():
                return read_cell(column, text, parser, zone)
            # What is wrong with the cell comes before its factor.
            written(text, parser)
            return amount(text, parser, factor * factor_of(column, said, cells))
        if column == "quantity_available":
            number = stock(text, parser) * factor_of(column, said, cells) // 1
            if number > LARGEST_WHOLE:
                raise FaultError("invalid_quantity", cells[0])
            return int(number)
        return read_cell(column, text, parser, zone)
    except FaultError as fault:
        raise (
            fault if len(fault.args) > 1 else FaultError(fault.args[0], cell)
        ) from fault


def text_of(
    column: str, cells: Sequence[str], parser: Any, said: Any
) -> tuple[str, str]:
    """Return the text that is read, and the cell that it stands for."""
    texts = [part_text(column, cell, parser) for cell in cells]
    if "join" in said:
        return said["with"].join(texts) if all(texts) else "", cells[0]
    if "first" in said:
        filled = [
            (text, cell)
            for text, cell in zip(texts, cells, strict=True)
            if text
        ]
        return filled[0] if filled else ("", cells[0])
    text = texts[0]
    if "strip_prefix" in said and text.startswith(said["strip_prefix"]):
        text = text[len(said["strip_prefix"]) :].strip()
    if "strip_suffix" in said and text.endswith(said["strip_suffix"]):
        text = text[: -len(said["strip_suffix"])].strip()
    for key, new in said.get("values", {}).items() if text else ():
        if key.strip().casefold() == text.casefold():
            return new.strip(), cells[0]
    return text, cells[0]


def factor_of(column: str, said: Any, cells: Sequence[str]) -> Fraction:
    factor = said.get("times", said.get("divided_by", 1))
    if isinstance(factor, str):
        text = cells[1].strip()
        is_number = text.isascii() and text.isdigit() and len(text) <= 7
        if not is_number or not 1 <= int(text) <= 1_000_000:
            code = "invalid_decimal" if column in MONEY else "invalid_quantity"
            raise FaultError(code, cells[1])
        factor = int(text)
    return Fraction(1, factor) if "divided_by" in said else Fraction(factor)


def is_zero(text: str, parser: Any) -> bool:
    parts = number_parts(without_symbols(text, parser), parser)
    return parts is not None and not (parts[1] + (parts[2] or "")).strip("0")


def written(text: str, parser: Any) -> Fraction:
    """Return an amount as it is written."""
    parts = number_parts(without_symbols(text, parser), parser)
    if parts is None:
        raise FaultError("invalid_decimal")
    sign, whole, fraction, exponent = parts
    digits = (whole + (fraction or "")).lstrip("0")
    if not digits:
        return Fraction(0)
    if sign == "-":
        raise FaultError("negative_amount")
    point = len(digits) - len(fraction or "") + small_exponent(exponent)
    if point > 15:
        raise FaultError("amount_out_of_range")
    if point < -60:
        return Fraction(0)
    return Fraction(int(digits)) * Fraction(10) ** (point - len(digits))


def amount(text: str, parser: Any, factor: Fraction | None) -> int:
    """Return ten-thousandths of an amount times a factor, rounded once."""
    if factor is None:
        return int(read_cell("cost", text, parser, None))
    value = (written(text, parser) * factor * 10_000 * 2 + 1) // 2
    if value >= LARGEST_MONEY:
        raise FaultError("amount_out_of_range")
    return int(value)
