"""The check of the feeds' samples: their faults, and the config patch that would mend them.

What is printed is YAML: findings are its comments, and the patch is all else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from local.request import Request
from local.run import KEYS, steps
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.json_patch import apply_patch, parser_patch
from relay_core.config.lint import config_doubts
from relay_core.domain.errors import FeedUnreadableError, UnsupportedSchemaVersionError
from relay_core.domain.records import Doubt
from relay_core.domain.run_faults import too_large
from relay_core.ingest.csv_records import release_mapped
from relay_core.ingest.sku_map import read_sku_map
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_check import check_feed, with_rows
from relay_core.onboarding.feed_sample import FeedSample, is_read_whole
from relay_core.onboarding.findings import (
    is_right,
    limits_passed,
    policy_doubts_of,
    sentences_of,
    upload_doubts,
)
from relay_core.onboarding.sample_reader import MAX_WHOLE_BYTES
from relay_core.publish.findings import RunFindings
from relay_core.run import RunStages
from relay_dagster.mapped_files import InputFile

_HEAD_BYTES = 4 << 20
"""So much of a file that is not read whole, unless its directory is at its end."""


def check(request: Request) -> int:
    """Check the feeds, print what was found and the patch; return 0 where a run would take them."""
    config = request.config
    if config is None:
        print(
            _comment(
                f"{UnsupportedSchemaVersionError.error_code}: {request.unsupported}"
            )
        )
        return 1
    checks = {
        place: _VendorCheck(vendor, request.feeds[vendor.vendor_id], request, config)
        for place, vendor in enumerate(config.vendors)
        if vendor.vendor_id in request.feeds
    }
    run = _would_be(config, request)
    for place, each in checks.items():
        print(*map(_comment, each.findings(f"vendors.{place}", run)), sep="\n")
    unnamed = [v.vendor_id for v in config.vendors if v.vendor_id not in request.feeds]
    if unnamed:
        print(_comment(f"without a file: {', '.join(unnamed)}"))
    print(_comment(_verdict(run)))
    doubts = list(_doubts(config, request, checks))
    print(_yaml({"doubts": [doubt.as_dict() for doubt in doubts]}), end="")
    changes = {
        place: each.check.changes for place, each in checks.items() if each.check
    }
    steps = parser_patch(request.document, changes)
    if steps:
        patched = apply_patch(request.document, steps)["vendors"]
        shown = [_parser_of(patched[place]) for place, each in changes.items() if each]
        print(_comment("with these parsers in place of the config's, all at once:"))
        print(_yaml({"vendors": shown}), end="")
    return 0 if run.failure is None else 1


def _would_be(config: TenantConfig, request: Request) -> RunFindings:
    """Return what a run with these files would find, guards aside; nothing is written."""
    stages = RunStages(
        config,
        config.vendors,
        request.context.requested_at,
        KEYS,
        _Nowhere(),
        overrides=request.overrides,
        limits=request.limits,
    )
    (values,) = deque(steps(stages, request), maxlen=1)
    return stages.findings(values)


class _Nowhere:
    """Where the files of a run go that is not made."""

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write nothing."""

    def wait(self) -> None:
        """Wait for nothing."""


def _verdict(run: RunFindings) -> str:
    if run.failure is not None:
        return (
            f"a run would fail: {run.failure.error_code}: {run.failure.error_message}"
        )
    return f"a run would succeed, with {run.record_count:,} SKUs in the feed"


def _doubts(
    config: TenantConfig, request: Request, checks: Mapping[int, _VendorCheck]
) -> Iterator[Doubt]:
    read = {
        place: each.check for place, each in checks.items() if each.check is not None
    }
    is_published = request.baseline is not None
    yield from config_doubts(config, is_published=is_published, is_local=True)
    for place, each in read.items():
        yield from upload_doubts(f"vendors.{place}", each, config)
    yield from policy_doubts_of(config, read.values())


class _VendorCheck:
    """The check of one vendor's feed."""

    def __init__(
        self,
        vendor: VendorConfig,
        feed: InputFile,
        request: Request,
        config: TenantConfig,
    ) -> None:
        self._vendor = vendor
        self._config = config
        self._name = feed.name
        self._fault = ""
        self.check: FeedCheck | None = None
        limit = request.limits.feed_bytes
        if len(feed.data) > limit:
            self._fault = too_large(
                vendor.vendor_id, "feed", len(feed.data), limit
            ).error_message
            return
        upload = _upload(feed)
        head = FeedSample(
            upload.data[:_HEAD_BYTES], is_whole=len(feed.data) <= _HEAD_BYTES
        )
        sku_map = request.sku_maps.get(vendor.vendor_id)
        try:
            found = check_feed(
                upload if is_read_whole(head.data) else head, vendor.parser, config
            )
            own_map = (
                None if sku_map is None else read_sku_map(sku_map.data, request.limits)
            )
            self.check = with_rows(found, upload, vendor, config, own_map)
        except FeedUnreadableError as error:
            self._fault = str(error)

    @property
    def is_right(self) -> bool:
        """Whether a run would take the feed, and no patch would have it read better."""
        return self.check is not None and is_right(
            self.check, self._vendor, self._config
        )

    def findings(self, path: str, run: RunFindings) -> Iterator[str]:
        """Yield what was found, a line each.

        Args:
            path: the vendor's in the config.
            run: what a run would find.
        """
        verdict = "nothing is wrong" if self.is_right else "something is wrong"
        if self.is_right and self.check is not None and self.check.doubts:
            verdict = "a run would take it, and it is doubtful"
        yield f"{self._vendor.vendor_id}, {self._name}: {verdict}"
        if self.check is None:
            yield f"  {self._fault}"
            return
        yield from (f"  {each}" for each in sentences_of(self.check))
        passed = limits_passed(self.check.best, self._vendor, self._config)
        yield from (f"  a run would end with {each}" for each in passed)
        rows = run.rows.get(self._vendor.vendor_id)
        if rows is not None and rows.won is not None:
            counts = ((name, count) for name, count in rows.as_dict().items() if count)
            yield f"  rows: {', '.join(f'{count:,} {name}' for name, count in counts)}"


def _upload(feed: InputFile) -> FeedSample:
    """Return a file whole, or its first bytes where it is too large."""
    is_whole = len(feed.data) <= MAX_WHOLE_BYTES
    data = bytes(feed.data if is_whole else feed.data[:_HEAD_BYTES])
    release_mapped(feed.data)
    return FeedSample(data, is_whole=is_whole)


def _parser_of(vendor: dict[str, Any]) -> dict[str, Any]:
    return {"vendor_id": vendor["vendor_id"], "parser": vendor["parser"]}


def _comment(line: str) -> str:
    """Return a line of a comment, whatever a feed has put into it."""
    return "# " + "".join(
        char if char.isprintable() else repr(char)[1:-1] for char in line
    )


class _Writer(yaml.SafeDumper):
    """Writes a config's scalars, each mapping where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say yes."""
        return True


_Writer.add_multi_representer(str, lambda writer, text: writer.represent_str(str(text)))


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.dump(
        document, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text
