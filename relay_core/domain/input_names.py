"""The names of a tenant's inputs, as commands write them.

The name is ``acme`` for the files of vendor acme, which are the vendor's base, and
``acme/prices`` for those of its part prices.
"""

from collections.abc import Mapping
from typing import Any


def name_of(vendor_id: str, part_id: str | None) -> str:
    """Return the name of a vendor's base, or of one of its parts."""
    return vendor_id if part_id is None else f"{vendor_id}/{part_id}"


def counts_by_input(
    rows: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, int | None]]:
    """Return the counts of the rows of each input, by its name.

    Args:
        rows: The counts of each vendor's rows by outcome; those of its parts are in
            ``parts``, if it has parts.
    """
    counts_of_inputs = {}
    for vendor_id, vendor_counts in rows.items():
        counts = dict(vendor_counts)
        parts = counts.pop("parts", {})
        counts_of_inputs[vendor_id] = counts
        for part_id, part_counts in parts.items():
            counts_of_inputs[name_of(vendor_id, part_id)] = part_counts
    return counts_of_inputs


def ids_of(name: str) -> tuple[str, str | None]:
    """Return the vendor's ID and the part's ID that an input's name is made of."""
    vendor_id, slash, part_id = name.partition("/")
    return vendor_id, part_id if slash else None
