"""What ``API_KEYS`` may hold, and where that is good enough to be served."""

from __future__ import annotations

import json

import pytest

from relay_dagster.http.security.api_keys import (
    AdminKey,
    read_admin_keys,
    refuse_unsafe,
)
from relay_dagster.settings import Settings, SettingsError

LONG = "0123456789abcdef"


def settings(*words: str, anonymous: bool = False) -> Settings:
    return Settings(
        artifact_bucket="b",
        runs_table="r",
        tenants_table="t",
        queue_url="http://q",
        dlq_url="http://d",
        api_keys=words,
        allow_anonymous=anonymous,
    )


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("one", "two"), (("admin-1", "one"), ("admin-2", "two"))),
        (("ops:one", "two"), (("ops", "one"), ("admin-2", "two"))),
        (("a.b-c_D9:x:y",), (("a.b-c_D9", "x:y"),)),
        # No name that could be one stands in front: it is all secret.
        (
            (":x", "-a:x", f"{'a' * 65}:x"),
            (
                ("admin-1", ":x"),
                ("admin-2", "-a:x"),
                ("admin-3", f"{'a' * 65}:x"),
            ),
        ),
        ((f"{'a' * 64}:x",), (("a" * 64, "x"),)),
    ],
)
def test_a_key_is_named_or_called_by_its_place(
    words: tuple[str, ...], keys: tuple[tuple[str, str], ...]
) -> None:
    assert read_admin_keys(words) == tuple(AdminKey(*key) for key in keys)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("ops:",), "API_KEYS must have a secret after ops:"),
        (
            ("ops:one", "ops:two"),
            "API_KEYS must name each key once, but ops appears twice",
        ),
        (
            ("admin-2:one", "two"),
            "API_KEYS must name each key once, but admin-2 appears twice",
        ),
    ],
)
def test_what_is_no_list_of_keys_is_told_without_a_secret(
    words: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_admin_keys(words)
    assert str(refused.value) == problem


def test_a_key_is_not_shown() -> None:
    assert "one" not in repr(read_admin_keys(["ops:one"]))


OTHERS = ("0.0.0.0", "::", "10.0.0.1", "relay.example.com", "")
OWN = ("127.0.0.1", "127.8.0.1", "::1", "localhost")


@pytest.mark.parametrize("host", OTHERS)
def test_a_short_secret_is_refused_where_others_reach_it(host: str) -> None:
    refuse_unsafe(settings(LONG, f"ops:{LONG}"), host)
    with pytest.raises(SettingsError) as refused:
        refuse_unsafe(settings(LONG, f"ops:{LONG[1:]}"), host)
    assert str(refused.value).startswith(
        "API_KEYS must have secrets of 16 characters or more"
    )
    assert str(refused.value).endswith("shorter: ops")


@pytest.mark.parametrize("host", OWN)
def test_a_short_secret_is_one_line_of_the_log_where_nobody_else_comes(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_unsafe(settings("hush", LONG, "ops:mum"), host)
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["event"], line["names"]) == (
        "admin_secret_too_short",
        ["admin-1", "ops"],
    )
    assert "hush" not in str(line)


def test_everybody_is_let_in_on_this_machine_alone() -> None:
    for host in OWN:
        refuse_unsafe(settings(anonymous=True), host)
    for host in OTHERS:
        with pytest.raises(SettingsError, match="RELAY_ALLOW_ANONYMOUS"):
            refuse_unsafe(settings(anonymous=True), host)
