"""The artifacts: the files that a run leaves for people and programs, each named once.

The keys of a run's files, the links in Dagster, the lists of the pages and of the commands,
the cleaning of a local run's folder, and the list in ``docs/OUTPUTS.md`` all come from
`ARTIFACTS`. Work files, which only later steps read, are no artifacts.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import PurePosixPath
from typing import get_args

from relay_core.domain.codes import CATALOG
from relay_core.domain.formats import FORMATS, OutputFormat

CONTENT_TYPES = {
    **{f".{row.name}": row.content_type for row in FORMATS.values()},
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
}
"""The content type of a file that a run writes, by the end of its name."""
LOCAL_FOLDERS = ("normalized", "outputs", "reports", "published")
"""The folders below its output folder that a local run writes to."""
_FORMATS = get_args(OutputFormat)
# What may stand for a placeholder in a file's path, where that is known beforehand
_PATH_ENDINGS = {
    "format": _FORMATS,
    "suffix": (*_FORMATS, *(f"{name}.gz" for name in _FORMATS)),
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run, or one file per vendor or channel.

    Attributes:
        name: The name in the API. Like the path and the title, it may have placeholders:
            ``vendor``, ``channel``, ``number`` (of a vendor's file, from 1), ``file`` (the
            upload's own name), ``format`` (of the feed), and ``suffix`` (of a channel's
            file, such as ``csv.gz``).
        path: The path below the run's prefix, or below the folder of a local run.
        title: The title for people.
        written: The runs that write the file, as a phrase.
        is_of_run: Whether the file belongs to the whole run and not to one vendor.
        has_rows: Whether the engine makes the file's rows, so that a replay of the run
            makes the file again.
    """

    name: str
    path: str
    title: str
    written: str
    is_of_run: bool = True
    has_rows: bool = False

    def name_for(self, **values: str | int) -> str:
        """Return the name with the placeholders replaced by ``values``."""
        return self.name.format(**values)

    def path_for(self, **values: str | int) -> str:
        """Return the path with the placeholders replaced by ``values``."""
        return self.path.format(**values)

    @property
    def content_type(self) -> str | None:
        """The content type, or None if the name of the file decides it."""
        return CONTENT_TYPES.get(PurePosixPath(self.path).suffix)

    def local_patterns(self) -> Iterator[str]:
        """Yield the glob patterns of the file below the folder of a local run."""
        if not self.path.startswith(
            tuple(f"{name}/" for name in LOCAL_FOLDERS)
        ):
            return
        placeholders = _PLACEHOLDER.findall(self.path)
        choices = [_PATH_ENDINGS.get(name, ("*",)) for name in placeholders]
        for values in product(*choices):
            yield self.path_for(**dict(zip(placeholders, values, strict=True)))


FEED = Artifact(
    "merged_inventory",
    "outputs/merged_inventory.{format}",
    "Feed",
    "A run that succeeds or is held",
    has_rows=True,
)
CHANNEL = Artifact(
    "channel_{channel}",
    "outputs/channels/{channel}.{suffix}",
    "Channel: {channel}",
    "A run that succeeds or is held, one file per channel",
    has_rows=True,
)
NORMALIZED = Artifact(
    "normalized_{vendor}",
    "normalized/{vendor}/normalized.csv",
    "Valid rows: {vendor}",
    "One file per vendor whose file could be read",
    is_of_run=False,
    has_rows=True,
)
UPLOAD = Artifact(
    "inbound_{vendor}",
    "inbound/{vendor}/{file}",
    "Vendor file: {vendor}",
    "A run in the service, one copy per vendor with a file",
    is_of_run=False,
)
LISTED_UPLOAD = Artifact(
    "inbound_{vendor}.{number}",
    "inbound/{vendor}/files/{number}/{file}",
    "Vendor file: {vendor}.{number}",
    "A run in the service, one copy per file of a vendor with several files",
    is_of_run=False,
)
CATALOG_UPLOAD = Artifact(
    CATALOG,
    f"inbound/{CATALOG}/{{file}}",
    "Catalog",
    "A run in the service with a catalog",
)
SKU_MAP = Artifact(
    "sku_map_{vendor}",
    "inbound/{vendor}/sku_map/sku_map.csv",
    "SKU map: {vendor}",
    "A run in the service, one copy per vendor with a SKU map",
    is_of_run=False,
)
LAST_GOOD = Artifact(
    "last_good_{vendor}",
    "inbound/{vendor}/last_good/{file}",
    "Last good file: {vendor}",
    "A run in the service that uses the vendor's last good file",
    is_of_run=False,
)
LISTED_LAST_GOOD = Artifact(
    "last_good_{vendor}.{number}",
    "inbound/{vendor}/last_good/files/{number}/{file}",
    "Last good file: {vendor}.{number}",
    "The same for each file of a vendor with several files",
    is_of_run=False,
)
LAST_GOOD_SKU_MAP = Artifact(
    "last_good_sku_map_{vendor}",
    "inbound/{vendor}/last_good/sku_map/sku_map.csv",
    "SKU map of the last good file: {vendor}",
    "The same for the SKU map of the vendor's last good file",
    is_of_run=False,
)
ARTIFACTS = (
    Artifact(
        "report",
        "reports/report.html",
        "Report",
        "Every run that ends",
    ),
    FEED,
    CHANNEL,
    Artifact(
        "changes",
        "reports/changes.csv",
        "Changed SKUs",
        "A run that is compared with the live feed",
        has_rows=True,
    ),
    Artifact(
        "quarantine",
        "reports/quarantine.csv",
        "Prices to review",
        "A run that keeps published prices of some SKUs",
        has_rows=True,
    ),
    Artifact(
        "invalid_rows",
        "reports/invalid_rows.csv",
        "Rejected rows",
        "A run with rejected rows",
        has_rows=True,
    ),
    Artifact(
        "errors",
        "reports/errors.json",
        "Errors and warnings",
        "A run that fails, or that has rejected rows or warnings",
    ),
    Artifact(
        "unmatched",
        "reports/unmatched.csv",
        "Rows without a product",
        "A run with a catalog and with rows that match no product",
        has_rows=True,
    ),
    Artifact(
        "uncovered",
        "reports/uncovered.csv",
        "Products without an offer",
        "A run of all vendors with a catalog",
        has_rows=True,
    ),
    Artifact(
        "overrides",
        "reports/overrides.json",
        "SKU overrides used",
        "A run with SKU overrides in effect",
    ),
    Artifact(
        "run_summary",
        "reports/run_summary.json",
        "Run summary",
        "Every run that ends",
    ),
    Artifact(
        "report_data",
        "reports/report.json",
        "Report as data",
        "Every run that ends",
    ),
    Artifact(
        "input_manifest",
        "reports/input_manifest.json",
        "List of vendor files used",
        "A run that looks for its vendors' files",
    ),
    Artifact(
        "config_snapshot",
        "reports/config_snapshot.json",
        "Settings used",
        "A run that loads its config",
    ),
    Artifact(
        "baseline_state",
        "work/baseline_state.parquet",
        "Previous feed, as compared",
        "A run in the service that is compared with the live feed",
    ),
    Artifact(
        "published_state",
        "published/state.parquet",
        "State of the feed, for the next run",
        "A local run that succeeds",
    ),
    NORMALIZED,
    UPLOAD,
    LISTED_UPLOAD,
    # The path is also that of a vendor's upload, which is therefore found first. Only the
    # input manifest tells whether a run had a catalog or a vendor of that name.
    CATALOG_UPLOAD,
    SKU_MAP,
    LAST_GOOD,
    LISTED_LAST_GOOD,
    LAST_GOOD_SKU_MAP,
)
"""All artifacts, in the order in which people open them."""
_BY_NAME = {artifact.name: artifact for artifact in ARTIFACTS}
_RANKS = {artifact: rank for rank, artifact in enumerate(ARTIFACTS)}


def path_of(name: str) -> str:
    """Return the path of an artifact that a run has once."""
    return _BY_NAME[name].path


def artifact_named(name: str) -> Artifact | None:
    """Return the entry for a name in the API, or None if there is no such artifact."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    for pattern, artifact in _name_patterns():
        if pattern.fullmatch(name):
            return artifact
    return None


def belongs_to_run(name: str) -> bool:
    """Return True if an artifact belongs to the whole run and not to one vendor."""
    artifact = artifact_named(name)
    return artifact is not None and artifact.is_of_run


def title_of(name: str) -> str | None:
    """Return the title of the artifact with a name, or None if there is no such artifact."""
    artifact = artifact_named(name)
    if artifact is None:
        return None
    values = re.fullmatch(_as_regex(artifact.name), name)
    return artifact.title.format(**(values.groupdict() if values else {}))


def name_at(path: str) -> str:
    """Return the name of the artifact with a path below the run's prefix.

    A work file has no name, and gives an empty text.
    """
    for pattern, artifact in _path_patterns():
        values = pattern.fullmatch(path)
        if values is not None:
            return artifact.name_for(**values.groupdict())
    return ""


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of artifacts in the order in which people open the files."""

    def rank(name: str) -> tuple[int, str]:
        artifact = artifact_named(name)
        if artifact is None:
            return len(ARTIFACTS), name
        return _RANKS[artifact], name

    return sorted(names, key=rank)


def local_patterns(folder: str) -> list[str]:
    """Return the glob patterns of all artifacts in a folder of a local run."""
    return [
        pattern
        for artifact in ARTIFACTS
        for pattern in artifact.local_patterns()
        if pattern.startswith(f"{folder}/")
    ]


@cache
def _name_patterns() -> Sequence[tuple[re.Pattern[str], Artifact]]:
    """Return the patterns of names with placeholders, the most specific ones first."""

    def fixed_start(artifact: Artifact) -> int:
        return artifact.name.index("{")

    with_placeholders = [item for item in ARTIFACTS if "{" in item.name]
    with_placeholders.sort(key=fixed_start, reverse=True)
    return _patterns(
        with_placeholders, [item.name for item in with_placeholders]
    )


@cache
def _path_patterns() -> Sequence[tuple[re.Pattern[str], Artifact]]:
    return _patterns(ARTIFACTS, [artifact.path for artifact in ARTIFACTS])


def _patterns(
    artifacts: Collection[Artifact],
    templates: Collection[str],
) -> Sequence[tuple[re.Pattern[str], Artifact]]:
    return [
        (re.compile(_as_regex(template)), artifact)
        for artifact, template in zip(artifacts, templates, strict=True)
    ]


def _as_regex(template: str) -> str:
    """Return the regular expression of a name or a path with placeholders."""
    parts = _PLACEHOLDER.split(template)
    for index, part in enumerate(parts):
        # The placeholders' names are at the odd places.
        if index % 2 == 0:
            parts[index] = re.escape(part)
        elif part in ("file", "format", "suffix"):
            parts[index] = f"(?P<{part}>[^/]+)"
        else:
            # Ids have no dot.
            parts[index] = f"(?P<{part}>[^/.]+)"
    return "".join(parts)
