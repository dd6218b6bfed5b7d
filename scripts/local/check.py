"""The check of the feeds' samples: their faults, and the config patch that would mend them.

What is printed is YAML: findings are its comments, and the patch is all else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from local.request import Request
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.json_patch import apply_patch
from relay_core.domain.errors import FeedUnreadableError, UnsupportedSchemaVersionError
from relay_core.domain.run_faults import too_large
from relay_core.onboarding.acceptance import is_right, limits_passed
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.config_patch import parser_patch
from relay_core.onboarding.feed_check import check_feed
from relay_core.onboarding.feed_sample import FeedSample, is_read_whole
from relay_core.onboarding.findings import sentences_of, upload_warnings
from relay_dagster.mapped_files import InputFile

_HEAD_BYTES = 4 << 20
_WHOLE_BYTES = 256 << 20
"""A file that says at its end what it holds is looked at whole, up to so many bytes."""
_ROWS = 5_000


def check(request: Request) -> int:
    """Look at the feeds, print what was found and the patch; return 0 where nothing is wrong."""
    config = request.config
    if config is None:
        print(_comment(f"{UnsupportedSchemaVersionError.error_code}: {request.unsupported}"))
        return 1
    checks = {
        place: _VendorCheck(vendor, request.feeds[vendor.vendor_id], request, config)
        for place, vendor in enumerate(config.vendors)
        if vendor.vendor_id in request.feeds
    }
    for place, each in checks.items():
        print(*map(_comment, each.findings(f"vendors.{place}")), sep="\n")
    unnamed = [v.vendor_id for v in config.vendors if v.vendor_id not in request.feeds]
    if unnamed:
        print(_comment(f"not looked at: {', '.join(unnamed)}"))
    changes = {place: each.check.changes for place, each in checks.items() if each.check}
    steps = parser_patch(request.document, changes)
    if steps:
        patched = apply_patch(request.document, steps)["vendors"]
        shown = [_parser_of(patched[place]) for place, each in changes.items() if each]
        print(_comment("with these parsers in place of the config's, all at once:"))
        print(_yaml({"vendors": shown}), end="")
    return 0 if all(each.is_right for each in checks.values()) else 1


class _VendorCheck:
    """The check of one vendor's feed."""

    def __init__(
        self, vendor: VendorConfig, feed: InputFile, request: Request, config: TenantConfig
    ) -> None:
        self._vendor = vendor
        self._config = config
        self._name = feed.name
        self._fault = ""
        self.check: FeedCheck | None = None
        limit = request.limits.feed_bytes
        if len(feed.data) > limit:
            self._fault = too_large(vendor.vendor_id, "feed", len(feed.data), limit).error_message
            return
        try:
            self.check = check_feed(_head(feed), vendor.parser, config)
        except FeedUnreadableError as error:
            self._fault = str(error)

    @property
    def is_right(self) -> bool:
        """Whether a run would take the feed, and no patch would have it read better."""
        return self.check is not None and is_right(self.check, self._vendor, self._config)

    def findings(self, path: str) -> Iterator[str]:
        """Yield what was found, a line each; ``path`` is the vendor's in the config."""
        verdict = "nothing is wrong" if self.is_right else "something is wrong"
        yield f"{self._vendor.vendor_id}, {self._name}: {verdict}"
        if self.check is None:
            yield f"  {self._fault}"
            return
        yield from (f"  {each}" for each in sentences_of(self.check))
        passed = limits_passed(self.check.best, self._vendor, self._config)
        yield from (f"  a run would end with {each}" for each in passed)
        warnings = upload_warnings(path, self.check, self._config)
        yield from (f"  doubtful: {each}" for each in warnings)


def _head(feed: InputFile) -> FeedSample:
    start = bytes(feed.data[:_HEAD_BYTES])
    if is_read_whole(start):
        start = bytes(feed.data[:_WHOLE_BYTES])
    feed.release()
    return FeedSample(start, is_whole=len(start) == len(feed.data), rows=_ROWS)


def _parser_of(vendor: dict[str, Any]) -> dict[str, Any]:
    return {"vendor_id": vendor["vendor_id"], "parser": vendor["parser"]}


def _comment(line: str) -> str:
    """Return a line of a comment, whatever a feed has put into it."""
    return "# " + "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


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
