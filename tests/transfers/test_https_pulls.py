"""Files that are pulled by HTTPS from servers with certificates: whom a pull trusts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from relay_dagster.aws.secrets import SecretValue
from support.pulls_world import (
    CSV,
    FileServer,
    PullsWorld,
    file,
    file_server,
    redirect,
    tls_of,
)
from support.receivers import listening, sending

HOUR = timedelta(hours=1)
OVER = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have the authority among those that the system trusts, as an operator does."""
    authority.cert_pem.write_to_path(str(tmp_path / "authorities.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))


@contextmanager
def https(certificate: trustme.LeafCert) -> Iterator[FileServer]:
    with file_server(tls=tls_of(certificate)) as server:
        yield server


def store(world: PullsWorld, server: FileServer) -> None:
    secret = SecretValue("Bearer s3cr3t", f"127.0.0.1:{server.port}")
    world.platform.secrets.put(world.tenant_id, "granite", secret)
    world.store({"url": server.url(), "secret": "granite"})


@pytest.mark.usefixtures("trusted")
def test_a_server_that_the_system_trusts_is_pulled_from(
    world: PullsWorld, authority: trustme.CA
) -> None:
    with https(authority.issue_cert("127.0.0.1")) as server:
        store(world, server)
        assert world.pull().last_error is None
    assert world.uploads() == [CSV]
    assert [
        request.headers["authorization"] for request in server.requests
    ] == ["Bearer s3cr3t"]


WRONG: dict[str, tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = {
    "of an unknown authority": (
        lambda _: trustme.CA().issue_cert("127.0.0.1"),
        "unable to get local issuer certificate",
    ),
    "for another name": (
        lambda authority: authority.issue_cert("files.example.com"),
        "IP address mismatch, certificate is not valid for '127.0.0.1'.",
    ),
    "that is over": (
        lambda authority: authority.issue_cert(
            "127.0.0.1", not_before=OVER, not_after=OVER + HOUR
        ),
        "certificate has expired",
    ),
}


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("what", WRONG)
def test_a_certificate_that_is_wrong_is_said_and_nothing_is_sent(
    world: PullsWorld, authority: trustme.CA, what: str
) -> None:
    certificate, sentence = WRONG[what]
    with https(certificate(authority)) as server:
        store(world, server)
        state = world.pull()
    assert (
        state.last_error == f"the server's certificate was refused: {sentence}"
    )
    assert (state.failures, server.requests, world.files()) == (1, [], [])


def test_an_authority_is_trusted_from_the_next_pull_on(
    world: PullsWorld, authority: trustme.CA, request: pytest.FixtureRequest
) -> None:
    with https(authority.issue_cert("127.0.0.1")) as server:
        store(world, server)
        error = world.pull().last_error
        assert error is not None
        assert error.startswith("the server's certificate was refused: ")
        request.getfixturevalue("trusted")
        assert world.pull(after=HOUR).last_error is None
    assert world.uploads() == [CSV]


@pytest.mark.usefixtures("trusted")
def test_no_redirect_leads_from_https_to_http_but_on_this_machine_and_no_secret_goes_along(
    world: PullsWorld, authority: trustme.CA
) -> None:
    with (
        https(authority.issue_cert("127.0.0.1")) as server,
        file_server() as plain,
    ):
        server.answers["/feed.csv"] = redirect(
            "http://files.example.com/feed.csv"
        )
        store(world, server)
        error = world.pull().last_error
        server.answers["/feed.csv"] = redirect(plain.url())
        world.pull(after=HOUR)
    assert error == (
        "the server redirects to a URL that is not allowed: it must begin with https://"
    )
    assert world.uploads() == [CSV]
    assert [
        "authorization" in request.headers for request in plain.requests
    ] == [False]


def test_what_speaks_no_tls_is_said(world: PullsWorld) -> None:
    with listening(sending(b"220 files.example.com ready\r\n")) as port:
        store(world, FileServer(port, scheme="https"))
        assert world.pull().last_error == "no TLS connection can be made"


@pytest.mark.usefixtures("trusted")
def test_a_file_that_breaks_off_within_tls_is_none(
    world: PullsWorld, authority: trustme.CA
) -> None:
    with https(authority.issue_cert("127.0.0.1")) as server:
        server.answers["/feed.csv"] = file(
            CSV, headers={"content-length": "100"}
        )
        store(world, server)
        error = world.pull().last_error
    assert (
        error == "the server closed the connection, or its answer was not HTTP"
    )
    assert (world.files(), world.staged()) == ([], [])
