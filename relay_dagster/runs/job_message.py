"""The message that represents a run on the queue, and the form of ids.

Anybody may send a message, so each of its values is checked. `new_records` decides
whether a message belongs to a record. The ids of callers are checked here before one
becomes part of a key or of an address.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay_core.domain.limits import DEFAULT_LIMITS

ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""The form of the ids of tenants and vendors."""

_ID = re.compile(ID_PATTERN)
_RUN_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MAX_SHOWN = 100
_MAX_VENDORS = DEFAULT_LIMITS.vendors


def is_id(text: str) -> bool:
    """Return True if a text can be the id of a tenant or a vendor."""
    return _ID.fullmatch(text) is not None


def is_run_id(text: str) -> bool:
    """Return True if a text has the form of a run_id, a UUID."""
    return _RUN_ID.fullmatch(text) is not None


class NotAJobError(ValueError):
    """A message's body is not a job; the text says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """The body of a message: the run to execute."""

    run_id: str
    tenant_id: str
    vendors: tuple[str, ...] | None = None  # None for all vendors
    config_version: int | None = None  # None for the latest config

    @classmethod
    def parse(cls, body: str) -> "Job":
        """Return the job of a message's body; members that are not a job's are ignored.

        An empty list of vendors means all vendors.

        Raises:
            NotAJobError: the body is not a JSON object, or a value in it is wrong.
        """
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotAJobError(f"the body is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise NotAJobError("the body is not a JSON object")
        config_version = document.get("config_version")
        # A boolean is an int for isinstance.
        is_version = type(config_version) is int and 1 <= config_version < 2**53
        if config_version is not None and not is_version:
            raise _refusal("config_version", "a version", config_version)
        return cls(
            run_id=_read_text(document, "run_id", is_run_id, "a UUID"),
            tenant_id=_read_text(document, "tenant_id", is_id, "a tenant's id"),
            vendors=_read_vendors(document.get("vendors")),
            config_version=config_version,
        )

    def body(self) -> str:
        """Return the message's body."""
        return json.dumps(
            {
                "run_id": self.run_id,
                "tenant_id": self.tenant_id,
                "vendors": None if self.vendors is None else list(self.vendors),
                "config_version": self.config_version,
            }
        )


def _read_text(
    document: Mapping[str, Any],
    name: str,
    is_valid: Callable[[str], bool],
    expectation: str,
) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not is_valid(value):
        raise _refusal(name, expectation, value)
    return value


def _read_vendors(value: object) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(map(_is_vendor_id, value)):
        raise _refusal("vendors", "a list of vendor ids", value)
    if len(value) > _MAX_VENDORS:
        raise _refusal(
            "vendors", f"a list of at most {_MAX_VENDORS}", len(value)
        )
    return tuple(value)


def _is_vendor_id(value: object) -> bool:
    return isinstance(value, str) and is_id(value)


def _refusal(name: str, expectation: str, value: object) -> NotAJobError:
    text = json.dumps(value)[:_MAX_SHOWN]
    return NotAJobError(f"{name} is not {expectation}: {text}")
