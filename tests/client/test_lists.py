"""Commands that operators asked for: tenants, pauses, a cancel, files without a browser."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from relay_core.publish.keys import ArtifactKeys
from support.api_world import NOBODY_S_RUN, TENANT
from support.client_world import ClientWorld


def test_tenants_are_a_line_each(world: ClientWorld) -> None:
    assert world.relay("tenants", "list").stderr == "There are no tenants.\n"
    for tenant_id in ("zenith", TENANT):
        world.platform.tenants.put(tenant_id, "{}")
    world.api.succeed(world.start())
    lines = world.relay("tenants", "list").stdout.splitlines()
    assert lines[0].startswith("tenant_id  state   config  published ")
    assert [line.split()[:3] for line in lines[1:]] == [
        [TENANT, "ACTIVE", "1"],
        ["zenith", "ACTIVE", "1"],
    ]
    assert "SUCCEEDED" in lines[1]
    tenants = json.loads(world.relay("tenants", "list", "--json").stdout)
    assert [tenant["tenant_id"] for tenant in tenants] == [TENANT, "zenith"]


def test_a_run_is_cancelled(world: ClientWorld) -> None:
    world.api.store_config()
    run_id = world.start()
    assert (
        world.relay("runs", "cancel", run_id).stdout
        == f"Run {run_id} of {TENANT} is CANCELLED.\n"
    )
    again = world.relay("runs", "cancel", run_id)
    assert again.exit_code in (0, 1)
    result = world.relay("runs", "cancel", NOBODY_S_RUN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "RUN_NOT_FOUND" in result.stderr
    claimed = world.api.claim(world.start())
    assert world.relay("runs", "cancel", claimed.run_id).stdout.endswith(
        " It was asked to stop.\n"
    )


def test_run_creation_is_paused_listed_and_resumed(world: ClientWorld) -> None:
    world.api.store_config()
    assert (
        world.relay("tenants", "pause").stderr
        == "Run creation is not paused.\n"
    )
    result = world.relay("tenants", "pause", TENANT)
    assert (result.exit_code, result.stdout) == (2, "")
    options = ("--reason", "backlog", "--public-reason", "soon")
    paused = world.relay("tenants", "pause", TENANT, *options)
    assert paused.stdout.startswith(
        f"Run creation is paused for tenant {TENANT} since "
    )
    assert (
        world.relay("tenants", "pause", "--reason", "all of it").exit_code == 0
    )
    lines = world.relay("tenants", "pause").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["tenant_id", "all", TENANT]
    assert "backlog" in lines[2]
    assert "soon" in lines[2]
    listed = json.loads(world.relay("tenants", "pause", "--json").stdout)[
        "pauses"
    ]
    assert [pause["tenant_id"] for pause in listed] == [None, TENANT]
    assert "RUN_CREATION_PAUSED" in world.relay("run", TENANT).stderr
    assert (
        world.relay("tenants", "resume").stdout
        == "Run creation is no longer paused for all tenants.\n"
    )
    assert (
        world.relay("tenants", "resume", TENANT, "--reason", "done").exit_code
        == 0
    )
    assert world.relay("run", TENANT).exit_code == 0


def test_a_feed_and_artifacts_are_fetched_whole(
    world: ClientWorld, tmp_path: Path
) -> None:
    world.api.store_config()
    missing = world.relay("feed", "get", TENANT)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "FEED_NOT_FOUND" in missing.stderr
    record = world.api.succeed(world.start())
    data = world.platform.objects.read(str(record.feed_key))
    assert world.relay("feed", "get", TENANT).stdout.encode() == data
    path = tmp_path / "feed.csv"
    fetched = world.relay("feed", "get", TENANT, "-o", str(path))
    assert (fetched.exit_code, path.read_bytes()) == (0, data)
    assert hashlib.sha256(data).hexdigest() in fetched.stdout
    keys = ArtifactKeys(record.run_id, TENANT)
    world.platform.objects.put(keys.errors, b"{}")
    listed = world.relay("runs", "artifacts", record.run_id).stdout.splitlines()
    assert "errors" in [line.split()[0] for line in listed]
    assert (
        world.relay("runs", "artifacts", record.run_id, "errors").stdout == "{}"
    )
    result = world.relay(
        "runs",
        "artifacts",
        record.run_id,
        "nothing",
        "-o",
        str(tmp_path / "none"),
    )
    assert (result.exit_code, (tmp_path / "none").exists()) == (2, False)
    assert "errors" in result.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["feed.csv"]


def test_a_file_that_cannot_be_written_is_said(
    world: ClientWorld, tmp_path: Path
) -> None:
    world.api.store_config()
    world.api.succeed(world.start())
    result = world.relay(
        "feed", "get", TENANT, "-o", str(tmp_path / "no" / "feed.csv")
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize("command", [("artifacts", NOBODY_S_RUN, "-o", "x")])
def test_a_file_without_an_artifact_is_bad_usage(
    world: ClientWorld, command: tuple[str, ...]
) -> None:
    assert world.relay(*command).exit_code == 2


def test_a_link_to_the_feed_is_made_listed_and_revoked(
    world: ClientWorld,
) -> None:
    world.api.store_config()
    assert world.relay("feed", "links", "list", TENANT).stderr == (
        "The tenant has no feed links.\n"
    )
    result = world.relay(
        "feed", "links", "create", TENANT, "--name", "Google", "--days", "9"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("https://relay.test/f/")
    (listed,) = json.loads(
        world.relay("feed", "links", "list", TENANT, "--json").stdout
    )["feed_links"]
    assert listed["name"] == "Google"
    assert (
        f"relay feed links delete {TENANT} {listed['link_id']}" in result.stderr
    )
    assert (
        world.relay(
            "feed", "links", "delete", TENANT, listed["link_id"]
        ).exit_code
        == 0
    )
    assert (
        "LINK_NOT_FOUND"
        in world.relay("feed", "links", "delete", TENANT, "abc").stderr
    )


def test_a_secret_is_read_from_standard_input(world: ClientWorld) -> None:
    world.api.store_config()
    assert (
        world.relay("config", "secrets", "list", TENANT).stderr
        == "The tenant has no secrets.\n"
    )
    host = ("--host", "granite.example.com")
    put = world.relay(
        "config",
        "secrets",
        "put",
        TENANT,
        "granite",
        *host,
        stdin="Bearer 0f8f\r\n",
    )
    assert put.exit_code == 0, put.output
    secret = world.platform.secrets.get(TENANT, "granite")
    assert secret is not None
    assert (secret.value, secret.host) == ("Bearer 0f8f", "granite.example.com")
    assert (
        "granite.example.com"
        in world.relay("config", "secrets", "list", TENANT).stdout
    )
    assert (
        world.relay("config", "secrets", "delete", TENANT, "granite").exit_code
        == 0
    )
    assert (
        "SECRET_NOT_FOUND"
        in world.relay("config", "secrets", "delete", TENANT, "granite").stderr
    )
