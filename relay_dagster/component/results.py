"""The results of the steps: materializations with their metadata, and the verdicts of checks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from relay_core.domain.codes import CATALOG
from relay_core.domain.columns import COLUMNS
from relay_core.domain.input_names import ids_of
from relay_core.domain.records import GuardResult, RunFailure
from relay_core.domain.run_faults import next_action
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.artifacts import NORMALIZED
from relay_core.publish.feed import preview
from relay_core.publish.files.fields import fields_of
from relay_core.report.chapters import guards as guards_chapter
from relay_core.validation.error_policy import own_share_faults
from relay_dagster.component.candidate import CandidateRun
from relay_dagster.component.folders import REPORT, Candidate, FeedFolder
from relay_dagster.component.names import (
    CANONICAL,
    MERGED,
    ROWS_ARE_VALID,
    Names,
    guard_check,
)
from relay_dagster.component.sources import AssetSource
from relay_dagster.component.tenants import Tenant
from relay_dagster.orchestration import metadata_tables as tables
from relay_dagster.orchestration.column_lineage import (
    Source,
    column_lineage,
    lineage_of,
)
from relay_dagster.orchestration.report_metadata import facts_of, tables_of

_ERROR = dg.AssetCheckSeverity.ERROR
_WARN = dg.AssetCheckSeverity.WARN
_PREVIEW_ROWS = 10
_OF_FEED = ("dagster/column_schema", "dagster/column_lineage", "preview")
"""The metadata of a candidate that is also that of the feed."""


def vendor_results(
    run: CandidateRun,
    names: Names,
    vendor_ids: Iterable[str],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Yield the materialization of each vendor that was read, and the verdict on its rows.

    Args:
        run: The run.
        names: The names of the assets.
        vendor_ids: The vendors of all tenants. Dagster wants a verdict on each of them.
    """
    normalized = {
        vendor.vendor_id: vendor for vendor in run.findings.normalized
    }
    for vendor_id in vendor_ids:
        vendor = normalized.get(vendor_id)
        check = _vendor_check(run, names.vendor(vendor_id), vendor_id, vendor)
        if vendor is None or not vendor.is_read:
            yield check
        else:
            yield dg.MaterializeResult(
                asset_key=names.vendor(vendor_id),
                check_results=[check],
                metadata=_vendor_metadata(run, vendor),
            )


def _vendor_metadata(
    run: CandidateRun,
    vendor: NormalizedVendor,
) -> dict[str, Any]:
    path = NORMALIZED.path_for(vendor=vendor.vendor_id)
    columns = [(column.name, column.kind) for column in COLUMNS]
    return {
        "rows": vendor.total_rows,
        "rows_valid": vendor.valid_rows,
        "rows_invalid": vendor.invalid_rows,
        "dagster/row_count": vendor.offered_rows,
        "normalized": dg.MetadataValue.path(run.folder.address(path)),
        **tables.column_schema(columns),
    }


def _vendor_check(
    run: CandidateRun,
    key: dg.AssetKey,
    vendor_id: str,
    vendor: NormalizedVendor | None,
) -> dg.AssetCheckResult:
    """Return the verdict on a vendor's rows."""
    messages = _vendor_faults(run, vendor_id, vendor)
    metadata: dict[str, Any] = {}
    if vendor is not None:
        metadata = {
            "rows": vendor.total_rows,
            "rows_invalid": vendor.invalid_rows,
            "errors_by_code": tables.fault_table([vendor]),
        }
    was_read = vendor is not None and vendor.is_read
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=ROWS_ARE_VALID,
        passed=not messages and (vendor is None or not vendor.invalid_rows),
        severity=_ERROR if messages and was_read else _WARN,
        description=" ".join(messages) or None,
        metadata=metadata,
    )


def _vendor_faults(
    run: CandidateRun,
    vendor_id: str,
    vendor: NormalizedVendor | None,
) -> list[str]:
    """Return the faults of a vendor beyond its rejected rows, as sentences."""
    config = run.tenant.config
    if vendor_id not in [configured.vendor_id for configured in config.vendors]:
        return []
    state = run.findings.states.get(vendor_id)
    entries = [None if state is None else state.failure]
    if vendor is None:
        if state is not None and state.failure is None:
            return [f"{vendor_id} has no file."]
    else:
        entries.append(vendor.fault)
        entries += own_share_faults(
            [config.vendor(vendor_id)],
            [vendor.invalid_rows],
            [vendor.total_rows],
        )
    messages = [entry.error_message for entry in entries if entry is not None]
    return list(dict.fromkeys(messages))


def candidate_results(
    run: CandidateRun,
    names: Names,
    guards: Mapping[str, bool],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Yield the materialization of the candidate, and the verdicts on it.

    Raises:
        Failure: The run has failed; its reports say why.
    """
    findings = run.findings
    canonical_check = _canonical_check(run, names)
    if findings.failure is not None:
        if findings.normalized:
            yield canonical_check
        raise _failure(run, findings.failure)
    checks = [
        canonical_check,
        _merged_check(run, names),
        *_guard_checks(run, names, guards),
    ]
    yield dg.MaterializeResult(
        asset_key=names.candidate,
        check_results=checks,
        data_version=dg.DataVersion(run.sha256),
        metadata=_candidate_metadata(run, names),
    )


def _candidate_metadata(run: CandidateRun, names: Names) -> dict[str, Any]:
    """Return the numbers, the report, and the first rows of a candidate."""
    findings = run.findings
    chapters = run.local_run.report.chapters
    metadata = {
        "run_id": run.run_id,
        "status": str(findings.status),
        "sha256": run.sha256,
        "report": dg.MetadataValue.path(run.folder.address(REPORT)),
        "dagster/row_count": findings.record_count,
        **facts_of(chapters),
        **tables_of(chapters),
        # The report has the first vendors of this table.
        "vendors": tables.vendor_table(
            findings.normalized,
            wins=findings.skus_won,
        ),
    }
    merged = run.local_run.values.merged
    if merged is None:
        return metadata
    fields = fields_of(merged.config.output, merged.config.default_currency)
    headers = [field.header for field in fields]
    first_rows = preview(merged, _PREVIEW_ROWS)
    return {
        **metadata,
        **tables.column_schema(
            (field.header, field.source.kind) for field in fields
        ),
        **_lineage(run, names),
        "preview": tables.text_table(headers, first_rows),
    }


def _lineage(run: CandidateRun, names: Names) -> dict[str, object]:
    """Return the headers of vendors' files that each column of the feed is made of.

    A header is a column of the asset that an input names, or else of the vendor's own asset.
    """

    def source_of(name: str, header: str) -> Source:
        source = run.tenant.inputs.get(name)
        if isinstance(source, AssetSource):
            return source.key, header
        vendor_id, _ = ids_of(name)
        return names.vendor(vendor_id), header

    sources = lineage_of(run.tenant.config, source_of, run.headers)
    # A catalog that is a file has no asset.
    file_of_catalog = names.vendor(CATALOG)
    return column_lineage(
        {
            header: [
                source
                for source in column_sources
                if source[0] != file_of_catalog
            ]
            for header, column_sources in sources.items()
        },
    )


def _canonical_check(run: CandidateRun, names: Names) -> dg.AssetCheckResult:
    vendors = run.findings.normalized
    invalid_count = sum(vendor.invalid_rows for vendor in vendors)
    return dg.AssetCheckResult(
        asset_key=names.candidate,
        check_name=CANONICAL,
        passed=not invalid_count,
        severity=_WARN,
        metadata={
            "rows_invalid": invalid_count,
            "vendors": tables.vendor_table(vendors),
            "errors_by_code": tables.fault_table(vendors),
        },
    )


def _merged_check(run: CandidateRun, names: Names) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=names.candidate,
        check_name=MERGED,
        passed=True,
        metadata={"record_count": run.findings.record_count},
    )


def _guard_checks(
    run: CandidateRun,
    names: Names,
    guards: Mapping[str, bool],
) -> Iterator[dg.AssetCheckResult]:
    results = run.findings.guards or ()
    holds = run.tenant.config.guards.mode == "hold"
    for guard in guards:
        guard_results = [result for result in results if result.guard == guard]
        chapter = guards_chapter.chapter_of(guard_results, run.findings.titles)
        yield dg.AssetCheckResult(
            asset_key=names.candidate,
            check_name=guard_check(guard),
            passed=not any(result.tripped for result in guard_results),
            severity=_ERROR if holds else _WARN,
            description=_guard_words(run, names, guard_results),
            metadata={
                "judged": chapter is not None,
                **tables_of(() if chapter is None else (chapter,)),
            },
        )


def _guard_words(
    run: CandidateRun,
    names: Names,
    guard_results: Sequence[GuardResult],
) -> str | None:
    """Return the sentences about a guard that trips, and what to do; None if it does not."""
    sentences = []
    for result in guard_results:
        if result.tripped:
            about = result.vendor_id or result.side
            subject = (
                result.guard if about is None else f"{result.guard} of {about}"
            )
            sentences.append(
                f"{subject}: {result.count} of {result.of} ({result.value}) is more than the limit "
                f"of {result.limit}.",
            )
    if sentences and run.findings.is_held:
        sentences.append(
            f"To publish the candidate all the same, materialize {names.feed.to_user_string()} "
            f"alone with the run config {{release: {run.sha256}}}.",
        )
    return " ".join(sentences) or None


def _failure(run: CandidateRun, failure: RunFailure) -> dg.Failure:
    return dg.Failure(
        f"{failure.error_code}: {failure.error_message}",
        {
            "next_step": str(next_action(failure)),
            "report": dg.MetadataValue.path(run.folder.address(REPORT)),
        },
        allow_retries=False,
    )


def broken_contract(names: Names, message: str) -> dg.AssetCheckResult:
    """Return the verdict on a feed that breaks its contract."""
    return dg.AssetCheckResult(
        asset_key=names.candidate,
        check_name=MERGED,
        passed=False,
        description=message,
    )


def feed_result(
    tenant: Tenant,
    candidate: Candidate,
    made: Mapping[str, dg.MetadataValue],
) -> dg.MaterializeResult:
    """Return the materialization of the feed.

    Args:
        tenant: The tenant.
        candidate: The candidate that is published.
        made: The metadata of the last candidate that Dagster knows.
    """
    folder = FeedFolder(tenant.folder)
    metadata: dict[str, Any] = {
        "run_id": candidate.summary["run_id"],
        "sha256": candidate.sha256,
        "feed": dg.MetadataValue.path(folder.address(candidate.feed)),
        "report": dg.MetadataValue.path(folder.address(REPORT)),
        "dagster/row_count": candidate.summary["record_count"],
    }
    sha256 = made.get("sha256")
    if sha256 is not None and sha256.value == candidate.sha256:
        metadata |= {name: made[name] for name in _OF_FEED if name in made}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(candidate.sha256),
        metadata=metadata,
    )
