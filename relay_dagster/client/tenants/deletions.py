"""The API's calls about a tenant's deletion, and what they answer, for people."""

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus

from relay_dagster.client.api_client import ApiClient, read_answer, segment
from relay_dagster.client.errors import RefusedError
from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.tenants import TenantDeletion, TenantStanding, TenantStatus


class TenantCalls:
    """The deletion of one tenant.

    Args:
        api: speaks to the API.
        tenant_id: which tenant.

    Raises:
        BadUsageError: it cannot be an id.
    """

    def __init__(self, api: ApiClient, tenant_id: str) -> None:
        self._api = api
        self._path = f"/v1/tenants/{segment(tenant_id)}"

    def delete(self, confirm: str) -> TenantDeletion:
        """Delete it, where its id is confirmed."""
        sent = self._api.send("DELETE", self._path, params={"confirm": confirm})
        return read_answer(TenantDeletion, sent)

    def restore(self) -> TenantStanding:
        """Take its deletion back."""
        return read_answer(TenantStanding, self._api.send("POST", f"{self._path}/restore"))

    def status(self) -> TenantStatus | TenantDeletion:
        """Return how it stands; of one that is gone, how it went, if that is known."""
        try:
            return read_answer(TenantStatus, self._api.send("GET", f"{self._path}/status"))
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            with suppress(RefusedError):  # there was none, or it is not for this key
                return read_answer(TenantDeletion, self._api.send("GET", f"{self._path}/deletion"))
            raise


def show_deletion(screen: Screen, deletion: TenantDeletion) -> None:
    """Write how far a tenant's deletion is, and what can be done about it."""
    screen.say(f"tenant {deletion.tenant_id} is {deletion.state}")
    for line in _facts(deletion):
        screen.say(line, indent=2)


def _facts(deletion: TenantDeletion) -> Iterator[str]:
    if deletion.state == "CLOSING":
        yield f"until {instant(deletion.delete_after)} it can be restored with:"
        yield f"relay tenant restore {deletion.tenant_id}"
    elif deletion.deleted_at is not None:
        yield f"it was deleted at {instant(deletion.deleted_at)}; its id can be used anew"
    else:
        yield f"it is being removed, for good; now: {deletion.step or 'the beginning'}"
    counted = [f"{step} {count:,}" for step, count in deletion.removed.items() if count]
    if counted:
        yield f"removed so far: {', '.join(counted)}"
