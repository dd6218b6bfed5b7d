"""The uploads that an input is chosen from, and the names that vendors gave them."""

import re
from datetime import datetime
from typing import Literal, Protocol, TypeAlias, TypeVar

_PULLED = re.compile(r"pulled/[0-9]{8}T[0-9]{6}Z-([^/]+)")
"""The end of the key of a pulled file, after the prefix."""
FileKind: TypeAlias = Literal["full", "delta"]


class Upload(Protocol):
    """An uploaded file in the bucket."""

    @property
    def key(self) -> str:
        """The key of the file."""

    @property
    def last_modified(self) -> datetime:
        """The instant of the upload, aware."""


AnyUpload = TypeVar("AnyUpload", bound=Upload)


def name_of_upload(key: str, prefix: str) -> str:
    """Return the vendor's name of a file, by its key.

    It is the last segment of the key; of a pulled file without the time of the pull.
    """
    pulled = _PULLED.fullmatch(key.removeprefix(prefix))
    return key.rpartition("/")[2] if pulled is None else pulled[1]
