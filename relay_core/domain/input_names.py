"""The names of a tenant's inputs, as commands write them.

The name is ``acme`` for the files of vendor acme, which are the vendor's base, and
``acme/prices`` for those of its part prices.
"""


def name_of(vendor_id: str, part_id: str | None) -> str:
    """Return the name of a vendor's base, or of one of its parts."""
    return vendor_id if part_id is None else f"{vendor_id}/{part_id}"


def ids_of(name: str) -> tuple[str, str | None]:
    """Return the vendor's ID and the part's ID that an input's name is made of."""
    vendor_id, slash, part_id = name.partition("/")
    return vendor_id, part_id if slash else None
