"""A replay of a vendor of several files: those that the run pinned and the config reads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from relay_core.config import TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.mapped_files import InputFile
from relay_core.validation.vendor_failures import InputVerdict, VendorState
from relay_dagster.client.artifacts import InputManifest
from relay_dagster.replay.engine import ReplayInputs
from support.builders import tenant_config, vendor_document
from support.file_lists import part

AT = datetime.fromisoformat("2026-03-01T10:00:00Z")


def pins(part_id: str | None, kind: str, name: str) -> dict[str, Any]:
    return {
        "part_id": part_id,
        "kind": kind,
        "s3_key": f"tenants/acme/inbound/{name}",
        "size": 5,
        "last_modified": AT,
        "sha256": name,
    }


class Artifacts:
    """The manifest and the files of a run."""

    def __init__(self) -> None:
        self.run: Any = type("Run", (), {"baseline_run_id": None})()
        self.links: dict[str, str] = {}

    def manifest(self) -> InputManifest:
        files = [
            pins(None, "full", "full-1"),
            pins(None, "delta", "delta-1"),
            pins("stock", "full", "stock.csv"),
        ]
        first_file = {
            name: value
            for name, value in files[0].items()
            if name not in ("part_id", "kind")
        }
        entry = {"status": "found", **first_file, "files": files}
        return InputManifest.model_validate({"vendors": {"acme": entry}})

    def file(self, name: str, sha256: str | None = None) -> InputFile:
        return InputFile(name, f"{name} {sha256}".encode())


def feed_of(config: TenantConfig) -> list[tuple[Any, ...]]:
    inputs = ReplayInputs(Artifacts(), config)  # type: ignore[arg-type]
    vendor_input = inputs.found()["acme"]
    assert [file.uploaded_at for file in vendor_input.files] == [AT] * len(
        vendor_input.files
    )
    states = {"acme": VendorState(VendorStatus.FOUND)}
    (feed,) = inputs.feeds(InputVerdict(states=states))
    return [
        (file.part_id, file.kind, file.name, bytes(file.data).decode())
        for file in feed.files
    ]


FULL = (None, "full", "full-1", "inbound_acme.1 full-1")


def test_all_files_are_read_as_they_were_pinned() -> None:
    vendor = vendor_document(
        "acme",
        parts=[part()],
        duplicate_skus="last",
        changes={"full": "full*", "delta": "delta*"},
    )
    assert feed_of(tenant_config(vendor)) == [
        FULL,
        (None, "delta", "delta-1", "inbound_acme.2 delta-1"),
        ("stock", "full", "stock.csv", "inbound_acme.3 stock.csv"),
    ]


def test_without_parts_and_changes_the_newest_full_of_the_base_is_read() -> (
    None
):
    assert feed_of(tenant_config(vendor_document("acme"))) == [FULL]
