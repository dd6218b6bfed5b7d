"""The API's calls about webhooks, one method each."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from relay_dagster.client.api_client import ApiClient, read_answer, segment
from relay_dagster.wire.webhooks import (
    DeliveryList,
    ListedDelivery,
    ListedWebhook,
    NewSecret,
    NewWebhook,
    TrialDelivery,
    WebhookList,
)


class WebhookCalls:
    """The webhooks of one tenant.

    Args:
        api: speaks to the API.
        tenant_id: whose webhooks they are.

    Raises:
        BadUsageError: it cannot be an id.
    """

    def __init__(self, api: ApiClient, tenant_id: str) -> None:
        self._api = api
        self._path = f"/v1/tenants/{segment(tenant_id)}/webhooks"

    def all(self) -> WebhookList:
        """Return all of them."""
        return read_answer(WebhookList, self._api.send("GET", self._path))

    def create(self, order: Mapping[str, Any]) -> NewWebhook:
        """Make one."""
        return read_answer(NewWebhook, self._api.send("POST", self._path, json=order))

    def get(self, webhook_id: str) -> ListedWebhook:
        """Return one as it stands."""
        return read_answer(ListedWebhook, self._api.send("GET", self._place(webhook_id)))

    def update(self, webhook_id: str, changes: Mapping[str, Any]) -> ListedWebhook:
        """Change what is named of one."""
        sent = self._api.send("PATCH", self._place(webhook_id), json=changes)
        return read_answer(ListedWebhook, sent)

    def delete(self, webhook_id: str) -> None:
        """Delete one."""
        self._api.send("DELETE", self._place(webhook_id))

    def rotate(self, webhook_id: str) -> NewSecret:
        """Make a new secret of one."""
        sent = self._api.send("POST", f"{self._place(webhook_id)}/secret:rotate")
        return read_answer(NewSecret, sent)

    def test(self, webhook_id: str) -> TrialDelivery:
        """Have something sent to one."""
        return read_answer(TrialDelivery, self._api.send("POST", f"{self._place(webhook_id)}/test"))

    def deliveries(self, webhook_id: str, limit: int) -> Iterator[ListedDelivery]:
        """Yield at most ``limit`` tries, the last first, over as many pages as it takes."""
        path = f"{self._place(webhook_id)}/deliveries"
        pages = self._api.pages(DeliveryList, path, None, limit)
        return islice((one for page in pages for one in page.deliveries), limit)

    def _place(self, webhook_id: str) -> str:
        return f"{self._path}/{segment(webhook_id)}"
