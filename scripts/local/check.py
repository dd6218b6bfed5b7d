"""The check of feeds: their problems, and the config patch that fixes them.

The output is YAML: the findings are its comments, and the patch is its document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from local.request import Request
from local.run import KEYS, steps
from relay_core.columnar.arrow_start import use_arrow_alone
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.lint import config_doubts
from relay_core.config.reading.json_patch import Path, apply_patch, parser_patch
from relay_core.domain.errors import (
    FeedUnreadableError,
    UnsupportedSchemaVersionError,
)
from relay_core.domain.records import Doubt
from relay_core.domain.run_faults import counted, too_large
from relay_core.ingest.sku_map import read_sku_map
from relay_core.onboarding import findings
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_check import check_file
from relay_core.publish.findings import RunFindings
from relay_core.run import RunStages
from relay_core.vendor_pass import NullSink
from relay_dagster.mapped_files import InputFile
from relay_dagster.triggers.inputs import Input, inputs_of

_CATALOG_PATH: Path = ("catalog",)
_PART_PATH_LENGTH = 4
"""The number of steps to a part, such as ``vendors.0.parts.1``."""


def check(request: Request) -> int:
    """Check the feeds, and print the findings and the patch.

    Returns:
        The exit status: 0 if a run would use the feeds, else 1.
    """
    use_arrow_alone()
    config = request.config
    if config is None:
        code = UnsupportedSchemaVersionError.error_code
        print(_comment(f"{code}: {request.unsupported}"))
        return 1
    inputs = inputs_of(config)
    checks = {
        tenant_input.path: _checked(
            tenant_input,
            request.feeds[name][-1],
            request,
            config,
        )
        for name, tenant_input in inputs.items()
        if name in request.feeds
    }
    run = _run_findings(config, request)
    for vendor_check in checks.values():
        for line in _lines_about(vendor_check, run):
            print(_comment(line))
    names_without_file = [name for name in inputs if name not in request.feeds]
    if names_without_file:
        print(
            _comment(
                f"vendors without a file: {', '.join(names_without_file)}",
            ),
        )
    if request.assumed:
        print(
            _comment(
                f"the config lacks {', '.join(request.assumed)}: a run needs them, and "
                "this check uses defaults",
            ),
        )
    print(_comment(_verdict(run)))
    doubts = [doubt.as_dict() for doubt in _doubts(config, request, checks)]
    print(_yaml({"doubts": doubts}), end="")
    _print_patch(request, checks)
    return 0 if run.failure is None else 1


@dataclass(frozen=True)
class _VendorCheck:
    """The check of the newest file of one input.

    Attributes:
        name: The name of the input.
        config: The config with the file as the only one of its vendor.
        vendor: The vendor, with the file as the only one.
        file_name: The name of the file.
        result: The check, or the message that says why the file cannot be checked.
    """

    name: str
    config: TenantConfig
    vendor: VendorConfig
    file_name: str
    result: FeedCheck | str

    @property
    def feed_check(self) -> FeedCheck | None:
        """The check, or None if the file cannot be checked."""
        return None if isinstance(self.result, str) else self.result


def _checked(
    tenant_input: Input,
    feed: InputFile,
    request: Request,
    config: TenantConfig,
) -> _VendorCheck:
    """Return the check of the newest file of an input."""
    name = tenant_input.name
    config = tenant_input.alone(config)
    vendor = config.vendor(tenant_input.vendor_id)
    of_file = partial(_VendorCheck, name, config, vendor, feed.name)
    limit = request.limits.feed_bytes
    size = len(feed.data)
    if size > limit:
        error = too_large(vendor.vendor_id, "feed", size, limit)
        return of_file(error.error_message)
    try:
        sku_map = None
        map_file = request.sku_maps.get(vendor.vendor_id)
        # The SKUs of a part that gives columns are keys, which no map changes.
        if map_file is not None and tenant_input.part.columns is None:
            sku_map = read_sku_map(map_file.data, request.limits)
        result = check_file(feed.data, vendor, config, sku_map)
    except FeedUnreadableError as error:
        return of_file(str(error))
    return of_file(result)


def _run_findings(config: TenantConfig, request: Request) -> RunFindings:
    """Return the findings of a run with these files, without guards and without output."""
    stages = RunStages(
        config,
        config.vendors,
        request.context.requested_at,
        KEYS,
        NullSink(),
        overrides=request.overrides,
        limits=request.limits,
    )
    (last_values,) = deque(steps(stages, request), maxlen=1)
    return stages.findings(last_values)


def _lines_about(
    vendor_check: _VendorCheck,
    run: RunFindings,
) -> Iterator[str]:
    """Yield the findings about one file, line by line."""
    config = vendor_check.config
    vendor = vendor_check.vendor
    result = vendor_check.feed_check
    verdict = "problems found"
    if result is not None and findings.is_right(result, vendor, config):
        verdict = "no problems"
        if result.doubts:
            verdict = "usable, with doubts"
    yield f"{vendor_check.name}, {vendor_check.file_name}: {verdict}"
    if result is None:
        yield f"  {vendor_check.result}"
        return
    for sentence in findings.sentences_of(result):
        yield f"  {sentence}"
    for message in findings.limits_passed(result.best, vendor, config):
        yield f"  a run would fail: {message}"
    # The rows of a vendor's parts are among those of the vendor.
    rows = run.rows.get(vendor_check.name)
    if rows is not None and rows.won is not None:
        counts = [
            f"{count:,} {name}"
            for name, count in rows.as_dict().items()
            if count and name != "parts"
        ]
        yield f"  rows: {', '.join(counts)}"


def _verdict(run: RunFindings) -> str:
    failure = run.failure
    if failure is not None:
        return (
            f"a run would fail: {failure.error_code}: {failure.error_message}"
        )
    skus = counted(run.record_count, "SKU")
    return f"a run would succeed, with {skus} in the feed"


def _doubts(
    config: TenantConfig,
    request: Request,
    checks: Mapping[Path, _VendorCheck],
) -> Iterator[Doubt]:
    is_published = request.baseline is not None
    yield from config_doubts(config, is_published=is_published, is_local=True)
    results = []
    for path, vendor_check in checks.items():
        if vendor_check.feed_check is not None:
            results.append(vendor_check.feed_check)
            yield from findings.upload_doubts(
                ".".join(map(str, path)),
                vendor_check.feed_check,
                config,
            )
    yield from findings.policy_doubts_of(config, results)


def _print_patch(request: Request, checks: Mapping[Path, _VendorCheck]) -> None:
    """Print the parsers of the vendors that a patch would change."""
    changes = {
        path: vendor_check.feed_check.changes
        for path, vendor_check in checks.items()
        if vendor_check.feed_check is not None
    }
    patch = parser_patch(request.document, changes)
    if not patch:
        return
    patched_document = apply_patch(request.document, patch)
    sections: dict[str, Any] = {}
    for path, vendor_changes in changes.items():
        if not vendor_changes:
            continue
        if path == _CATALOG_PATH:
            sections["catalog"] = {
                "parser": patched_document["catalog"]["parser"]
            }
            continue
        vendor = patched_document["vendors"][path[1]]
        section = {"vendor_id": vendor["vendor_id"]}
        if len(path) == _PART_PATH_LENGTH:
            part = vendor["parts"][path[-1]]
            section["part_id"] = part["part_id"]
            section["parser"] = part["parser"]
        else:
            section["parser"] = vendor["parser"]
        sections.setdefault("vendors", []).append(section)
    print(_comment("Replace all these parsers in the config:"))
    print(_yaml(sections), end="")


def _comment(line: str) -> str:
    """Return a line as a YAML comment, with escapes for characters that do not print."""
    characters = [
        character if character.isprintable() else repr(character)[1:-1]
        for character in line
    ]
    return f"# {''.join(characters)}"


class _Dumper(yaml.SafeDumper):
    """Writes the scalars of a config as plain texts, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: a mapping that occurs twice is written twice."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_str(str(text))


_Dumper.add_multi_representer(str, _represent_text)


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
    )
    return text
