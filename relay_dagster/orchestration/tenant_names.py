"""Names of a tenant in the texts that Dagster stores, such as ticks and cursors."""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class TenantNames:
    """The names of a tenant in a text: its ID, its runs' IDs, and Dagster's IDs of them."""

    tenant_id: str
    run_ids: Collection[str]

    def name_runs(self, text: str | None) -> bool:
        """Return True if a text names a run of the tenant."""
        return any(
            run_id in self.run_ids for run_id in _UUID.findall(text or "")
        )

    def are_in_tick(self, body: str) -> bool:
        """Return True if a tick, which is a JSON text, names the tenant or one of its runs.

        In an error, any word may be the tenant's name. Elsewhere only a whole text counts, or
        a text that calls the name a tenant, because words of the sensors are names too.
        """
        if self.name_runs(body):
            return True
        document = json.loads(body)
        name = re.escape(self.tenant_id)
        error = json.dumps(document.pop("error", None))
        word = rf"(?:(?<![\w-])|(?<=\\[nt])){name}(?![\w-])"
        if re.search(word, error):
            return True
        naming = re.compile(rf"{name}|.*\btenants?[ /]{name}(?![\w-]).*", re.S)
        return any(naming.fullmatch(text) for text in _texts(document))

    def are_quoted_in(self, text: str | None) -> bool:
        """Return True if a JSON text has the tenant's ID as a value, at any depth."""
        return self.tenant_id in _texts(text or "")

    def without_runs(self, value: Any) -> Any:
        """Return a JSON value with each text that names a run of the tenant set to None."""
        if isinstance(value, dict):
            return {
                key: self.without_runs(member) for key, member in value.items()
            }
        if isinstance(value, list):
            return [self.without_runs(member) for member in value]
        if isinstance(value, str) and self.name_runs(value):
            return None
        return value


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value at any depth, and in the JSON of texts; no keys."""
    if isinstance(value, dict):
        members = [*value.values()]
    elif isinstance(value, list):
        members = value
    elif isinstance(value, str):
        yield from _texts_in_text(value)
        return
    else:
        return
    for member in members:
        yield from _texts(member)


def _texts_in_text(text: str) -> Iterator[str]:
    if text[:1] in ("{", "["):
        with suppress(ValueError):
            yield from _texts(json.loads(text))
            return
    yield text
