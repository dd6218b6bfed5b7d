"""What went wrong in a run, grouped: each cause once, with its count, samples and what to do.

Made from errors.json alone; how it looks on a terminal is `terminal`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relay_dagster.client.api_models import ErrorReport, ReportEntry, Run
from relay_dagster.client.terminal import Screen

SAMPLES = 3


class Place(NamedTuple):
    """What entries of one cause have in common."""

    error_code: str
    vendor_id: str | None
    column: str | None


@dataclass
class Cause:
    """Entries of one code, vendor and column."""

    place: Place
    is_complete: bool
    """Whether every entry of the code was kept, so that ``count`` is exact."""
    count: int = 0
    samples: list[ReportEntry] = field(default_factory=list)

    def add(self, entry: ReportEntry) -> None:
        """Count an entry, and keep it if it shows something new."""
        self.count += 1
        seen = {(sample.value, sample.error_message) for sample in self.samples}
        if len(self.samples) < SAMPLES and (entry.value, entry.error_message) not in seen:
            self.samples.append(entry)

    @property
    def concerns_rows(self) -> bool:
        """Whether the entries are refused records, not matters of the run."""
        return any(sample.row_number is not None for sample in self.samples)

    @property
    def advice(self) -> str:
        """What the samples' messages have in common: what to do. Empty where they have nothing."""
        common = _common_end([sample.error_message for sample in self.samples])
        _, separator, advice = common.partition("; ")
        return advice if separator else ""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            **self.place._asdict(),
            "count": self.count,
            "count_is_exact": self.is_complete,
            "what_to_do": self.advice or None,
            "samples": [sample.as_json() for sample in self.samples],
        }


def _common_end(texts: Sequence[str]) -> str:
    """Return what all the texts end with."""
    shortest = min(texts, key=len)
    starts = (i for i in range(len(shortest)) if all(t.endswith(shortest[i:]) for t in texts))
    return shortest[next(starts, len(shortest)) :]


def grouped(report: ErrorReport) -> list[Cause]:
    """Return the causes: of the run itself in the report's order, then of rows, most first."""
    kept = Counter(entry.error_code for entry in report.entries)
    causes: dict[Place, Cause] = {}
    for entry in report.entries:
        place = Place(entry.error_code, entry.vendor_id, entry.column)
        whole = kept[entry.error_code] >= report.counts.get(entry.error_code, 0)
        causes.setdefault(place, Cause(place, whole)).add(entry)
    return sorted(
        causes.values(), key=lambda cause: -cause.count if cause.concerns_rows else -(10**12)
    )


def causes_json(run: Run, report: ErrorReport | None, invalid_rows: str | None) -> dict[str, Any]:
    """Return the grouped causes for programs."""
    return {
        "run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "status": run.status,
        "error_code": run.error_code,
        "error_message": run.error_message,
        "counts": report.counts if report else {},
        "truncated": report.truncated if report else False,
        "causes": [cause.as_json() for cause in grouped(report)] if report else [],
        "invalid_rows": invalid_rows,
    }


def show_causes(screen: Screen, report: ErrorReport, links: dict[str, str]) -> None:
    """Write the causes for people."""
    for cause in grouped(report):
        screen.say()
        _show(screen, cause)
    screen.say()
    if report.truncated:
        _show_cut(screen, report)
    if link := links.get("invalid_rows"):
        _show_link(screen, "every refused record, as it stood in its file: invalid_rows.csv", link)


def _show(screen: Screen, cause: Cause) -> None:
    code, vendor, column = cause.place
    where = [f"vendor {vendor}"] if vendor else []
    where += [f"column {column}"] if column else []
    count = f"{cause.count:,}" if cause.is_complete else f"at least {cause.count:,}"
    title = f"{count} x {code}" + (f" ({', '.join(where)})" if where else "")
    screen.say(title, style="bold")
    advice = cause.advice
    for sample in cause.samples:
        screen.say(_sample(sample, advice), indent=4)
    if cause.count > len(cause.samples):
        screen.say(f"and {cause.count - len(cause.samples):,} more", indent=4)
    if advice:
        screen.say(f"to do: {advice}", indent=4, style="green")


def _sample(sample: ReportEntry, advice: str) -> str:
    message = sample.error_message
    if advice and message.endswith(f"; {advice}"):
        message = message.removesuffix(f"; {advice}")
    place = [] if sample.row_number is None else [f"row {sample.row_number}"]
    place += [f"SKU {sample.sku}"] if sample.sku and sample.sku not in message else []
    return ": ".join([", ".join(place), message] if place else [message])


def _show_cut(screen: Screen, report: ErrorReport) -> None:
    kept = Counter(entry.error_code for entry in report.entries)
    cut = {code: n for code, n in report.counts.items() if n > kept[code]}
    totals = ", ".join(f"{code} {n:,}" for code, n in cut.items())
    screen.say(f"errors.json keeps the first entries alone; all there were: {totals}")


def _show_link(screen: Screen, text: str, link: str) -> None:
    if screen.is_terminal:
        screen.say(text, href=link)
    else:
        screen.say(f"{text}: {link}")


def headline(run: Run, report: ErrorReport | None) -> str:
    """Return the first line: how the run ended, and what no entry of the report tells."""
    if not run.has_ended:
        return f"run {run.run_id} is {run.status}; what is wrong is told when it has ended"
    how = f"run {run.run_id} of {run.tenant_id}: {run.status}"
    told = {entry.error_code for entry in report.entries} if report else set()
    if run.succeeded:
        return how if told else f"{how}, with nothing to tell"
    how = f"{how} in {run.failed_stage or run.stage}"
    return how if run.error_code is None or run.error_code in told else f"{how}, {run.cause}"
