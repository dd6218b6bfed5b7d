"""The rules of pulls: which of a config's are new, and when the next one is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from relay_core.config import load_config
from relay_core.config.pulls import PullConfig
from relay_dagster.triggers import pulls
from relay_dagster.triggers.pulled_files import FileMark
from relay_dagster.triggers.pulls import PullState
from support.fakes import NOW
from support.pulls_world import pull_config

URL = "https://files.example.com/stock.csv"
OTHER_URL = "https://files.example.com/other.csv"
HOUR = timedelta(hours=1)
STATE = PullState(tenant_id="acme", vendor_id="vendor_1", due_at=NOW)


def changed(
    states: dict[str, PullState], *urls: str | None
) -> list[tuple[str, PullConfig | None]]:
    vendors = [None if url is None else {"url": url} for url in urls]
    config = load_config(pull_config(*vendors, tenant_id="acme"))
    return pulls.changed_pulls(config, states)


def known(url: str) -> PullState:
    return replace(STATE, source=PullConfig(url=url).digest)


def test_pulls_that_are_new_changed_or_taken_out_are_noted_and_no_others() -> (
    None
):
    states = {
        "vendor_1": known(URL),
        "vendor_2": known(URL),
        "vendor_3": known(URL),
        "gone": known(URL),
        "long_gone": STATE,
    }
    assert changed(states, URL, OTHER_URL, None, URL) == [
        ("vendor_2", PullConfig(url=OTHER_URL)),
        ("vendor_4", PullConfig(url=URL)),
        ("vendor_3", None),
        ("gone", None),
    ]


def test_another_url_is_due_at_once_and_forgets_the_marks_but_not_the_bytes() -> (
    None
):
    state = replace(
        known(URL),
        sha256="ab",
        mark=FileMark(etag="1"),
        failures=2,
        due_at=NOW + HOUR,
    )
    after = pulls.noted(PullConfig(url=OTHER_URL), NOW)(state)
    assert after is not None
    assert (after.due_at, after.mark, after.failures) == (NOW, FileMark(), 0)
    assert (after.sha256, after.host) == ("ab", "files.example.com")
    assert pulls.noted(PullConfig(url=OTHER_URL), NOW)(after) is None


def test_whoever_asks_during_a_pull_is_not_put_behind_its_wait() -> None:
    requested = pulls.asked(NOW)(pulls.begun(STATE))
    for rule in (
        pulls.failed("no answer", NOW),
        pulls.unchanged("", FileMark(), NOW, HOUR),
        pulls.postponed(NOW, HOUR),
        pulls.forgotten(NOW),
    ):
        after = rule(requested)
        assert after is not None
        assert after.due_at == NOW
        later = rule(pulls.begun(requested))
        assert later is None or later.due_at is None or later.due_at > NOW


def test_marks_of_another_source_spare_no_transfer() -> None:
    mark = FileMark(etag="1")
    state = known(URL)
    after = pulls.unchanged(state.source, mark, NOW, HOUR)(state)
    assert after.mark == mark
    other_state = pulls.unchanged("another", mark, NOW, HOUR)(state)
    assert other_state.mark == FileMark()
