"""The message that stands for a run on the queue, and what ids look like: read strictly.

Anybody may send one, so what is read is judged value by value. Which record a job belongs to is
`transitions`. Callers' ids are judged here before one becomes a key of a table or a part of an
address.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay_core.domain.limits import DEFAULT_LIMITS

ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Of a tenant or vendor."""

_ID = re.compile(ID_PATTERN)
_RUN_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MAX_SHOWN = 100
_MAX_VENDORS = DEFAULT_LIMITS.vendors


def is_id(text: str) -> bool:
    """Return whether a text can be the id of a tenant or vendor."""
    return _ID.fullmatch(text) is not None


def is_run_id(text: str) -> bool:
    """Return whether a text has the form of a run_id, a UUID."""
    return _RUN_ID.fullmatch(text) is not None


class NotAJobError(ValueError):
    """A message body that is no job; the message says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """The body of a message: which run to execute; None is all vendors, or the latest config."""

    run_id: str
    tenant_id: str
    vendors: tuple[str, ...] | None = None
    config_version: int | None = None

    @classmethod
    def parse(cls, body: str) -> "Job":
        """Read a message body, whatever else it holds; no vendors are all; else `NotAJobError`."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotAJobError(f"the body is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise NotAJobError("the body is not a JSON object")
        version = document.get("config_version")
        is_number = type(version) is int and 1 <= version < 2**53
        if version is not None and not is_number:
            raise _refusal("config_version", "a version", version)
        return cls(
            run_id=_read_text(document, "run_id", is_run_id, "a UUID"),
            tenant_id=_read_text(document, "tenant_id", is_id, "a tenant's id"),
            vendors=_read_vendors(document.get("vendors")),
            config_version=version,
        )

    def body(self) -> str:
        """Return the message body."""
        return json.dumps(
            {
                "run_id": self.run_id,
                "tenant_id": self.tenant_id,
                "vendors": None if self.vendors is None else list(self.vendors),
                "config_version": self.config_version,
            }
        )


def _read_text(
    document: Mapping[str, Any], name: str, is_one: Callable[[str], bool], what: str
) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not is_one(value):
        raise _refusal(name, what, value)
    return value


def _read_vendors(value: object) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(
        isinstance(vendor, str) and is_id(vendor) for vendor in value
    ):
        raise _refusal("vendors", "a list of vendor ids", value)
    if len(value) > _MAX_VENDORS:
        raise _refusal("vendors", f"a list of at most {_MAX_VENDORS}", len(value))
    return tuple(value)


def _refusal(name: str, what: str, value: object) -> NotAJobError:
    return NotAJobError(f"{name} is not {what}: {json.dumps(value)[:_MAX_SHOWN]}")
