"""Turns: one at a time for a tenant, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

from relay_dagster.api.turns import Turns


def test_one_request_at_a_time_has_a_tenant_s_turn() -> None:
    turns, inside, most = Turns(), [], []

    def work(number: int) -> None:
        with turns.of("acme"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert max(most) == 1


def test_a_turn_that_is_never_given_back_stops_nobody() -> None:
    turns, entered = Turns(seconds=0.01), threading.Event()
    with turns.of("acme"), ThreadPoolExecutor(1) as pool:

        def late() -> None:
            with turns.of("acme"):
                entered.set()

        pool.submit(late).result()
    assert entered.is_set()
    with turns.of("acme"):
        assert True
