"""A tenant's request, however hostile, harms neither the API nor another caller."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest

from benchmarks.hostile_requests import (
    HALF_HEAD,
    HOSTILE,
    Attack,
    attacks,
    harms_of,
    link_figures,
)

# What configs and the vendors of orders may hold is the engine's to say, and is held with it.
OURS = [
    attack
    for attack in attacks()
    if not attack.name.startswith(("PUT: ", "check: "))
    and "unknown vendors" not in attack.name
]
SOUND = Attack("sound", "GET", f"/v1/tenants/{HOSTILE}")


@pytest.mark.integration
def test_no_request_makes_the_api_grow_much_or_holds_another_caller_up() -> (
    None
):
    with patch.dict(os.environ):
        harms = harms_of([SOUND, *OURS])
    single = {"sound", *(attack.name for attack in OURS if attack.times == 1)}
    assert [
        harm for harm in harms if harm.is_too_much and harm.name in single
    ] == []
    answers = {harm.name: harm.statuses for harm in harms}
    assert {name for name, status in answers.items() if status == "200"} == {
        *(
            "sound",
            "list: runs of 150 KB",
            "list: a status that no run has",
            "a head of 60 KB",
        )
    }
    assert {answers[name] for name in single} == {"200", "413", "422", "431"}
    # Of what a tenant sends at once more is turned away than is done; how long
    # others wait then is told by the benchmark, on a machine that does nothing else.
    (half,) = (attack.name for attack in OURS if attack.method == HALF_HEAD)
    assert "408" in answers.pop(half)
    assert all(
        "429" in answers.get(attack.name, "429")
        for attack in OURS
        if attack.times > 1
    )


@pytest.mark.integration
def test_hostile_links_cookies_and_forms_keep_nobody_else_out() -> None:
    with patch.dict(os.environ):
        reached = link_figures()
    assert len(reached) == 7
    # How long others wait is told by the benchmark, as above.
    counts = [figure for figure in reached if figure.unit != "s"]
    assert [figure.what for figure in counts if not figure.met] == []
