"""A feed behind a link beside the same bytes from Debian's nginx: conditions and ranges alike.

Not alike, on purpose: nginx answers a HEAD with a part, although parts are of GET alone (RFC 9110,
14.2), a 416 with a page, and several ranges with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

import httpx
import pytest

from support.api_world import TENANT, ApiWorld
from support.fakes import embedded_platform
from support.nginx_server import nginx

pytestmark = pytest.mark.integration
PUBLIC = "https://relay.example.com"
FEED = b"sku,price\n" + b"".join(
    b"A-%d,%d.50\n" % (number, number) for number in range(5000)
)
ASKED: tuple[dict[str, str], ...] = (
    {},
    {"Range": "bytes=0-0"},
    {"Range": "bytes=0-99"},
    {"Range": "bytes=100-"},
    {"Range": "bytes=-100"},
    {"Range": f"bytes=-{10 * len(FEED)}"},
    {"Range": f"bytes=5-{10 * len(FEED)}"},
    {"Range": f"bytes={len(FEED) - 1}-"},
    {"Range": f"bytes={len(FEED)}-"},
    {"Range": "lines=0-1"},
    {"Range": "bytes=0-3", "If-Range": "ETAG"},
    {"Range": "bytes=0-3", "If-Range": "MODIFIED"},
    {"Range": "bytes=0-3", "If-Range": "EARLIER"},
    {"Range": "bytes=0-3", "If-Range": '"another"'},
    {"If-None-Match": "ETAG"},
    {"If-None-Match": '"another", W/ETAG'},
    {"If-None-Match": "*"},
    {"If-None-Match": '"another"'},
    {"If-None-Match": '"another"', "If-Modified-Since": "MODIFIED"},
    {"If-Modified-Since": "MODIFIED"},
    {"If-Modified-Since": "LATER"},
    {"If-Modified-Since": "EARLIER"},
    {"If-None-Match": "ETAG", "Range": "bytes=0-3"},
)
COMPARED = ("content-range", "content-length", "last-modified", "content-type")


@pytest.fixture(scope="module")
def sides(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Side, Side]]:
    """Return the feed behind a link, and the same bytes of the same instant from nginx."""
    with (
        embedded_platform(public_url=PUBLIC) as platform,
        nginx(
            tmp_path_factory.mktemp("nginx"), "if_modified_since before;"
        ) as server,
    ):
        world = ApiWorld(platform)
        world.store_config()
        record = world.succeed(world.post_run().json()["run_id"])
        platform.objects.put(
            str(record.feed_key), FEED, content_type="text/csv"
        )
        feed = platform.runs.feed(TENANT)
        assert feed is not None
        server.put("feed.csv", FEED, feed.in_force.published_at.timestamp())
        created = world.client.post(
            f"/v1/tenants/{TENANT}/feed-links", json={"name": "shop"}
        ).json()
        link = Side(world.with_key(None), created["url"].removeprefix(PUBLIC))
        with httpx.Client(trust_env=False) as client:
            yield link, Side(client, server.url())


class Side:
    """One of both, and how it is asked."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url
        head = client.head(url).headers
        modified = parsedate_to_datetime(head["last-modified"])
        self._words = {
            "ETAG": head["etag"],
            "MODIFIED": head["last-modified"],
            "EARLIER": format_datetime(
                modified - timedelta(days=1), usegmt=True
            ),
            "LATER": format_datetime(modified + timedelta(days=1), usegmt=True),
        }

    def answer(
        self, method: str, asked: Mapping[str, str]
    ) -> tuple[object, ...]:
        """Return status, the headers that are compared, and the bytes."""
        headers = {"Accept-Encoding": "identity"}
        for name, text in asked.items():
            for word, value in self._words.items():
                text = text.replace(word, value)
            headers[name] = text
        got = self._client.request(method, self._url, headers=headers)
        if got.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return got.status_code, got.headers["content-range"]
        return (
            got.status_code,
            [(header, got.headers.get(header)) for header in COMPARED],
            got.content,
        )


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_link_answers_as_nginx_does(
    sides: tuple[Side, Side], asked: dict[str, str]
) -> None:
    link, server = sides
    assert link.answer("GET", asked) == server.answer("GET", asked)
    if "Range" not in asked:
        assert link.answer("HEAD", asked) == server.answer("HEAD", asked)
