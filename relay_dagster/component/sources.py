"""The sources of inputs: a path, a prefix in S3, or an asset's value, and the files in them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from relay_core.domain.limits import Limits
from relay_core.library.inputs import newest_file
from relay_core.mapped_files import InputFile
from relay_dagster.component.attributes import (
    InputAttribute,
    is_s3,
    local_path,
    split_s3,
)
from relay_dagster.external_errors import ExternalServiceError


class InputUnusableError(Exception):
    """An input cannot be read at all; the message says what to do."""


@dataclass(frozen=True)
class PathSource:
    """The file at a path, or the newest one of those that a pattern names."""

    path: Path
    """The path; ``*`` and ``?`` in its last part make it a pattern."""

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class PrefixSource:
    """The newest object below a prefix in S3."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class AssetSource:
    """The value of an asset."""

    key: dg.AssetKey

    def __str__(self) -> str:
        return f"asset {self.key.to_user_string()}"


Source = PathSource | PrefixSource | AssetSource


def source_of(attribute: InputAttribute, folder: Path) -> Source:
    """Return the source that an attribute describes.

    Args:
        attribute: The attribute, without placeholders.
        folder: The folder that paths are relative to.
    """
    if not isinstance(attribute, str):
        return AssetSource(attribute.key)
    if is_s3(attribute):
        return PrefixSource(*split_s3(attribute))
    return PathSource(local_path(attribute, folder))


@dataclass(frozen=True)
class SourceFiles:
    """Reads the files of sources.

    Attributes:
        limits: The limits of files.
        scratch: An empty folder for copies of objects.
        values: The values of assets, by key.
        headers: The columns of each input that was a table, by its name.
    """

    limits: Limits
    scratch: Path
    values: Mapping[dg.AssetKey, Any]
    headers: dict[str, Sequence[str]] = field(default_factory=dict)

    def file_of(self, name: str, source: Source) -> InputFile | None:
        """Return the file of an input, or None if its source has none.

        Raises:
            InputUnusableError: The source is there, but gives no file.
        """
        if isinstance(source, PathSource):
            return self._file_at(source)
        if isinstance(source, PrefixSource):
            return self._newest_object(name, source)
        return self._asset_file(name, source)

    def _file_at(self, source: PathSource) -> InputFile | None:
        path = newest_file(source.path)
        if path is None:
            return None
        try:
            return InputFile.at(path, self.limits.feed_bytes)
        except OSError as error:
            raise InputUnusableError(
                f"{path}: {error.strerror or error}. Set the input to a file that can be read.",
            ) from None

    def _newest_object(
        self, name: str, source: PrefixSource
    ) -> InputFile | None:
        try:
            return self._object_file(source)
        except ExternalServiceError as error:
            raise InputUnusableError(
                f"{source} cannot be read: {error}. Let this process list and read the prefix, or "
                f"correct the input {name}.",
            ) from None

    def _object_file(self, source: PrefixSource) -> InputFile | None:
        from relay_dagster.component.buckets import bucket

        store = bucket(source.bucket)
        newest = store.latest_object(source.prefix)
        if newest is None:
            return None
        # One byte more than the limit shows that the file is too large.
        size = min(newest.size, self.limits.feed_bytes + 1)
        with tempfile.NamedTemporaryFile(
            dir=self.scratch, delete=False
        ) as copy:
            copy.writelines(store.chunks(newest.key, 0, size))
        copied = InputFile.at(Path(copy.name))
        file_name = newest.key.rpartition("/")[2]
        return InputFile(file_name, copied.data, newest.last_modified)

    def _asset_file(self, name: str, source: AssetSource) -> InputFile:
        value = self.values[source.key]
        file_name = source.key.path[-1]
        if isinstance(value, bytes | bytearray | memoryview):
            return InputFile(file_name, memoryview(value))
        if isinstance(value, str | Path):
            file = self._file_at(PathSource(Path(value)))
            if file is None:
                raise InputUnusableError(
                    f"{source} gives the path {value}, where there is no file. Return the path of "
                    "a file that this run can read.",
                )
            return file
        # Arrow is loaded by the steps alone, not by the code location.
        from relay_dagster.component.tables import parquet_of, table_of

        try:
            table = table_of(value)
            self.headers[name] = table.column_names
            return InputFile(file_name, parquet_of(table))
        except (TypeError, ValueError) as error:
            raise InputUnusableError(
                _no_table(name, source, value, error)
            ) from None


def _no_table(
    name: str,
    source: AssetSource,
    value: object,
    error: Exception,
) -> str:
    """Return the message about a value that is not an input."""
    kind = type(value).__name__
    if value is None or isinstance(value, dict | list | tuple | set):
        reason = f"{source} gives a {kind}"
    else:
        reason = f"{source} gives a {kind} that is not a table ({error})"
    return (
        f"{reason}. An input is a pandas or pyarrow table, bytes, or the path of a file. Return "
        f"one of them from the asset, or change the input {name}."
    )
