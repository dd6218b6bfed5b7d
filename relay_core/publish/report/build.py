"""A run's findings to the report's view: what is shown, in which order, and how much of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.cell_rules import cut, strip
from relay_core.domain.codes import RunStatus, VendorStatus, WarningCode
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.next_action import next_action
from relay_core.domain.records import ENGINE_VERSION, Cause, RunContext
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.applied_rules import AppliedRule
from relay_core.publish.changes import Changes, PriceMove
from relay_core.publish.findings import RunFindings
from relay_core.publish.report import view, wording
from relay_core.publish.report.view import Listed
from relay_core.publish.reports import timestamp
from relay_core.validation.guards import GuardResult
from relay_core.validation.vendor_failures import VendorState

MAX_ROWS = 200
"""So many rows has a table; so many vendors a config."""
MAX_BARS = 12
MAX_SAMPLES = 10
_MAX_WARNINGS = 1_000
"""So many warnings are looked through: those of vendors come first."""
MAX_GROUPS, MAX_CAUSES = 20, 5
_MAX_NOTE_LENGTH, _MAX_PATCH_LENGTH = 500, 1_000

_CHANGES: tuple[tuple[str, str, view.Tone], ...] = (
    ("added", "New in the feed", "good"),
    ("removed", "Gone from the feed", "bad"),
    ("came_in_stock", "Came into stock", "good"),
    ("went_out_of_stock", "Went out of stock", "bad"),
    ("price_up", "Price went up", "idle"),
    ("price_down", "Price went down", "idle"),
    ("vendor_changed", "From another vendor", "idle"),
)

_USES: dict[VendorStatus, tuple[view.Tone, str]] = {
    VendorStatus.FOUND: ("good", "its upload"),
    VendorStatus.LAST_GOOD: ("warn", "its last good feed"),
    VendorStatus.LEFT_OUT: ("warn", "left out"),
    VendorStatus.MISSING: ("idle", "nothing to use"),
}


def report_of(ctx: RunContext, findings: RunFindings, status: RunStatus) -> view.Report:
    """Return what the report of a run shows."""
    notes, failure = _notes(findings), findings.failure
    faults = (view.Fault(one.error_code, one.error_message) for one in findings.faults)
    tripped_first = sorted(findings.guards or (), key=lambda result: not result.tripped)
    unpriced = (
        cut(entry.sku, MAX_QUOTED)
        for entry in findings.warnings[:_MAX_WARNINGS]
        if entry.error_code == WarningCode.UNPRICED_SKU and entry.sku is not None
    )
    return view.Report(
        tenant_id=ctx.tenant_id,
        run_id=ctx.run_id,
        requested_at=timestamp(ctx.requested_at),
        requested_on=wording.moment(ctx.requested_at),
        config_version=ctx.config_version,
        engine_version=ENGINE_VERSION,
        currency=findings.currency,
        is_held=status is RunStatus.HELD,
        verdict=wording.verdict(
            status, findings, list(notes), "" if failure is None else next_action(failure)
        ),
        faults=Listed.of(faults, MAX_SAMPLES, len(findings.faults)),
        figures=_figures(findings),
        changes=_changes(findings.changes),
        guards=Listed.of(map(_guard, tripped_first), MAX_ROWS, len(tripped_first)),
        rules=_rules(findings.rules),
        vendors=_vendors(ctx, findings, notes),
        shares=_shares(findings),
        causes=_causes(findings.causes()),
        unpriced=Listed.of(unpriced, MAX_SAMPLES, findings.unpriced_skus),
    )


def _figures(findings: RunFindings) -> tuple[view.Figure, ...]:
    if not findings.uploads:
        return ()
    counts = findings.counts()
    total, refused = counts["total_rows"], counts["invalid_rows"]
    shown = [
        view.Figure("SKUs in the feed", wording.number(counts["record_count"])),
        view.Figure("rows read", wording.number(total)),
        view.Figure("rows refused", wording.number(refused), wording.part(refused, total)),
        view.Figure("SKUs without a price", wording.number(counts["unpriced_skus"])),
    ]
    return tuple(shown if findings.failure is None else shown[1:3])


def _changes(changes: Changes | None) -> view.Changes | None:
    if changes is None:
        return None
    told = [(label, tone, changes.counts[name]) for name, label, tone in _CHANGES]
    longest = max(count for _, _, count in told)
    bars = [
        view.Bar(label, wording.number(count), wording.length(count, longest), tone)
        for label, tone, count in told
    ]
    rises, falls = changes.greatest_moves(MAX_SAMPLES)
    summary = wording.changed(changes.counts)
    chart = view.Chart("SKUs by what has changed", summary, tuple(bars))
    return view.Changes(chart, tuple(map(_move, rises)), tuple(map(_move, falls)))


def _move(move: PriceMove) -> view.Move:
    return view.Move(
        cut(move.sku, MAX_QUOTED),
        move.before,
        move.after,
        wording.signed_percent(move.share),
    )


def _guard(result: GuardResult) -> view.Guard:
    return view.Guard(
        wording.guard_name(result),
        wording.guard_meaning(result),
        result.tripped,
        wording.part(result.count, result.of),
        wording.percent(result.limit),
        f"{wording.number(result.count)} of {wording.number(result.of)}",
        tuple(map(_example, result.examples)) if result.tripped else (),
    )


def _example(example: Mapping[str, Any]) -> view.Move:
    after = "gone" if example["after"] is None else str(example["after"])
    return view.Move(cut(example["sku"], MAX_QUOTED), str(example["before"]), after)


def _rules(applied: Sequence[AppliedRule]) -> Listed[view.Rule]:
    shown = (
        view.Rule(
            one.path,
            cut(one.rule, MAX_QUOTED),
            one.vendor_id or "",
            f"{wording.counted(one.count, one.noun)} {one.verb}",
        )
        for one in applied
    )
    return Listed.of(shown, MAX_ROWS, len(applied))


def _vendors(
    ctx: RunContext, findings: RunFindings, notes: Mapping[str, Sequence[str]]
) -> Listed[view.Vendor]:
    read = {each.vendor_id: each for each in findings.uploads}
    shown = (
        _vendor(
            ctx,
            findings,
            name,
            read.get(name),
            cut(" ".join(notes.get(name, ())), _MAX_NOTE_LENGTH),
        )
        for name in findings.vendor_ids
        if name in findings.states or name in read
    )
    known = sum(name in findings.states or name in read for name in findings.vendor_ids)
    return Listed.of(shown, MAX_ROWS, known)


def _vendor(
    ctx: RunContext, findings: RunFindings, name: str, upload: NormalizedVendor | None, note: str
) -> view.Vendor:
    state = findings.states.get(name, VendorState(VendorStatus.FOUND))
    tone, use = _USES[state.status]
    is_read = upload is not None and upload.status is not VendorStatus.FAILED
    if any(fault.vendor_id == name for fault in findings.faults):
        tone = "bad"
    elif note and tone == "good":
        tone = "warn"
    if upload is not None and not is_read:
        use = "cannot be read"
    total, refused = (upload.total_rows, upload.invalid_rows) if upload else (0, 0)
    return view.Vendor(
        vendor_id=name,
        tone=tone,
        use=use,
        rows=wording.number(total) if is_read else "",
        refused=f"{wording.number(refused)} ({wording.part(refused, total)})" if is_read else "",
        won=_won(findings.skus_won.get(name, 0), findings.record_count),
        age=_age(state, findings.uploaded_at.get(name), ctx.requested_at),
        note=note,
    )


def _age(state: VendorState, uploaded_at: datetime | None, now: datetime) -> str:
    """Return how old what is used of a vendor is."""
    if state.age_hours is not None:
        return wording.age(timedelta(hours=state.age_hours))
    return "" if uploaded_at is None else wording.age(now - uploaded_at)


def _won(won: int, of: int) -> str:
    return f"{wording.number(won)} ({wording.part(won, of)})" if of else ""


def _notes(findings: RunFindings) -> dict[str, list[str]]:
    """Return the notes about failed vendors, in the order of the config."""
    told: dict[str, list[str]] = defaultdict(list)
    for entry in findings.warnings[:_MAX_WARNINGS]:
        if entry.vendor_id is not None and entry.error_code != WarningCode.UNPRICED_SKU:
            told[entry.vendor_id].append(entry.error_message)
    return {name: told[name] for name in findings.vendor_ids if name in told}


def _shares(findings: RunFindings) -> view.Chart | None:
    """Return the bars of the vendors that have won the most SKUs."""
    won = sorted(findings.skus_won.items(), key=lambda pair: -pair[1])[:MAX_BARS]
    of = findings.record_count
    if len(won) < 2 or not of:
        return None
    bars = [
        view.Bar(name, _won(count, of), wording.length(count, won[0][1])) for name, count in won
    ]
    return view.Chart(
        "Share of the feed by vendor",
        "; ".join(f"{bar.label} {bar.value}" for bar in bars),
        tuple(bars),
    )


def _causes(causes: Sequence[Cause]) -> Listed[view.CauseGroup]:
    """Return the causes by code and column, the most frequent first."""
    groups: dict[tuple[str, str], list[Cause]] = defaultdict(list)
    for cause in causes:
        groups[cause.error_code, cause.column or ""].append(cause)
    ordered = sorted(groups.values(), key=lambda group: -sum(cause.count for cause in group))
    return Listed.of(map(_group, ordered), MAX_GROUPS, len(ordered))


def _group(causes: Sequence[Cause]) -> view.CauseGroup:
    first = causes[0]
    return view.CauseGroup(
        title=wording.fault_title(first.error_code, first.column),
        error_code=first.error_code,
        counted=wording.counted(sum(cause.count for cause in causes), "row"),
        causes=Listed.of(map(_cause, causes), MAX_CAUSES, len(causes)),
    )


def _cause(cause: Cause) -> view.Cause:
    patch = json.dumps(list(cause.patch), ensure_ascii=False, indent=2) if cause.patch else ""
    return view.Cause(
        counted=wording.counted(cause.count, "row"),
        vendor_id=cause.vendor_id,
        samples=tuple(
            view.Sample(str(one.row_number), cut(strip(one.value), MAX_QUOTED))
            for one in cause.samples
        ),
        what_to_do=cut(wording.sentence(cause.what_to_do), _MAX_NOTE_LENGTH),
        patch=patch if len(patch) <= _MAX_PATCH_LENGTH else "",
    )
