"""The files that suppliers upload with their links: their names, and their quota.

A file's name says which link uploaded it, and for which hour its form was made. All open
forms of a link have the same name until a file has it. If the name has to tell what kind
of file it is, the file is in a folder with that name instead.
"""

import re
from datetime import UTC, datetime

UPLOADS_PER_HOUR = 20
"""The number of files that may arrive by a link in an hour of the UTC clock."""
_NAME = re.compile(r"link-([0-9a-f]{16})-[0-9]{8}T[0-9]{2}-[0-9]{2}")


def name_prefix(link_id: str, at: datetime) -> str:
    """Return how the names of a link's files begin, in the hour of an instant."""
    return f"link-{link_id}-{at.astimezone(UTC):%Y%m%dT%H}-"


def link_of_upload(key: str) -> str | None:
    """Return the ID of the link that uploaded an object; None if no link did."""
    for segment in reversed(key.split("/")):
        match = _NAME.fullmatch(segment)
        if match is not None:
            return match[1]
    return None
