"""The stages of a run: which files they leave, and when they wait for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pytest

from relay_core import vendor_pass
from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.records import RunFailure
from relay_core.merge.result import rules_broken_by
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.run_stages import RunStages, RunValues
from relay_core.validation.vendor_failures import InputVerdict, VendorInput
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.memory_sink import MemorySink

CONFIG = tenant_config(*(vendor_document(f"vendor_{n}") for n in (1, 2, 3)))
INPUT_IDS = [vendor.vendor_id for vendor in CONFIG.vendors]
TWO_ROWS = feed("A,5,10.00", "B,1,9.00")


@dataclass
class KeptSink(MemorySink):
    """Keeps what is written, and the order of writes and waits."""

    calls: list[str] = field(default_factory=list)

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        self.calls.append(key)
        super().write(key, chunks)

    def wait(self) -> None:
        self.calls.append("wait")


def stages(sink: KeptSink, *, hands_over: bool = False) -> RunStages:
    keys = ArtifactKeys("", "")
    return RunStages(
        CONFIG,
        CONFIG.vendors,
        REQUESTED_AT,
        keys,
        sink,
        hands_over=hands_over,
    )


def feeds() -> list[VendorFeed]:
    return [
        VendorFeed.of_one(vendor, TWO_ROWS, "f.csv")
        for vendor in CONFIG.vendors
    ]


def test_a_stage_leaves_its_files() -> None:
    sink = KeptSink()
    run = stages(sink, hands_over=True)
    normalized = run.normalize(InputVerdict(), feeds())
    assert list(sink.files) == [
        path
        for n in (1, 2, 3)
        for path in (
            f"normalized/vendor_{n}/normalized.csv",
            f"work/vendor_{n}/offers.arrow",
        )
    ]
    run.write_feed(run.compare(run.merge(normalized), normalized))
    assert sink.files["outputs/merged_inventory.csv"].startswith(b"sku,")


def test_files_of_many_rows_are_waited_for_before_others_are_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vendor_pass, "_MAX_ROWS_BEGUN", 4)
    sink = KeptSink()
    stages(sink).normalize(InputVerdict(), feeds())
    first, second, third = (
        f"normalized/vendor_{n}/normalized.csv" for n in (1, 2, 3)
    )
    assert sink.calls == [first, second, "wait", third]


def test_a_feed_that_breaks_its_contract_is_not_written() -> None:
    sink = KeptSink()
    run = stages(sink)
    normalized = run.normalize(InputVerdict(), feeds())
    compared = run.compare(run.merge(normalized), normalized)
    merged = compared.merged
    assert merged.feed is not None
    twice = pa.concat_tables([merged.feed, merged.feed])
    broken = replace(merged, feed=twice, broken_rules=rules_broken_by(twice))
    with pytest.raises(ContractBrokenError, match="field_uniqueness"):
        run.write_feed(replace(compared, merged=broken))
    assert "outputs/merged_inventory.csv" not in sink.files


def test_each_stage_hands_on_its_value_and_lets_go_of_the_offers() -> None:
    inputs = {name: VendorInput.of_one(len(TWO_ROWS)) for name in INPUT_IDS}

    judged, normalized, compared = stages(KeptSink()).steps(
        inputs, lambda _: feeds()
    )

    assert judged.inputs is not None
    assert judged.inputs.to_read() == INPUT_IDS
    assert normalized.normalized is not None
    assert [len(vendor.offers) for vendor in normalized.normalized.vendors] == [
        2,
        2,
        2,
    ]
    assert compared.normalized is not None
    assert [len(vendor.offers) for vendor in compared.normalized.vendors] == [
        0,
        0,
        0,
    ]
    assert compared.merged is not None
    assert compared.merged.record_count == 2


def test_the_findings_of_a_failed_run_are_those_of_the_values_that_it_has() -> (
    None
):
    run = stages(KeptSink())
    inputs = {name: VendorInput.of_one(len(TWO_ROWS)) for name in INPUT_IDS}
    *_, values = run.steps(inputs, lambda _: feeds())
    failure = RunFailure("feed_too_large", "…", Stage.WRITE_OUTPUTS)

    findings = run.findings(values).failed(failure)

    assert findings.status is RunStatus.FAILED
    assert (findings.record_count, findings.counts()["total_rows"]) == (0, 6)
    assert [counts.won for counts in findings.rows.values()] == [None] * 3
    assert run.findings(RunValues()).normalized == ()
