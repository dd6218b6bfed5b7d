"""GTINs: the numbers of products under barcodes, with their check digits."""

LENGTHS = (8, 12, 13, 14)
"""The numbers of digits that a GTIN may have."""
LONGEST = 14
"""The number of digits that GTINs are compared with, filled with zeros in front."""
SHORTEST_NUMBER = 7
"""The fewest digits of a number cell, which has lost its zeros in front."""
SHOP_STARTS = ("02", "04", "05", "2", "98", "99")
"""The first digits, of the last 13 of 14, of numbers that a shop gives, and of coupons."""
SHOP_STARTS_OF_8 = ("0", "2")
"""The first digits of the GTINs of 8 digits that a shop gives."""


def read_gtin(text: str, *, is_number: bool = False) -> str | None:
    """Return the GTIN that a trimmed cell has, as it is written everywhere.

    Return None if the cell has no GTIN.

    Args:
        text: The cell, with any spaces and hyphens.
        is_number: Whether the file stores the cell as a number, without zeros in front.
    """
    digits = text.replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdigit()):
        return None
    length_fits = len(digits) in LENGTHS
    if is_number:
        length_fits = SHORTEST_NUMBER <= len(digits) <= LONGEST
    padded = digits.zfill(LONGEST)
    if not length_fits or not int(padded) or not _has_right_check_digit(padded):
        return None
    return _shortest(padded)


def _has_right_check_digit(padded: str) -> bool:
    """Return whether the last of 14 digits is the check digit of the others."""
    weighted = 3 * sum(map(int, padded[0::2])) + sum(map(int, padded[1::2]))
    return weighted % 10 == 0


def _shortest(padded: str) -> str:
    """Return 14 digits as the shortest GTIN that only loses zeros in front."""
    digit_count = len(padded.lstrip("0"))
    length = next(length for length in LENGTHS if length >= digit_count)
    return padded[-length:]


def is_own(gtin: str) -> bool:
    """Return whether a GTIN, as it is written, is a shop's own number or a coupon's."""
    if len(gtin) == LENGTHS[0]:
        return gtin.startswith(SHOP_STARTS_OF_8)
    return gtin.zfill(LONGEST)[1:].startswith(SHOP_STARTS)
