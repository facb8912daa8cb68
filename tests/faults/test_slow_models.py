"""Models of one gateway share its threads: slow and poisonous ones keep no other from answering."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from homeostat.hung_calls import ReplacingThreadPool
from serving.gateway_harness import RELEASED, model_config, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
STUCK = {"a": -777.0, "b": -999.0, "colour": "red"}
THREADS = 2


@pytest.fixture(autouse=True)
def released_at_the_end():
    RELEASED.clear()
    yield
    RELEASED.set()


def ask(client, model, row):
    return client.http.post(f"models/{model}/invocations", json={"dataframe_records": [row]}, timeout=120)


def test_more_slow_models_than_threads_keep_no_other_model_waiting(setup):
    slow = [f"slow_{n}" for n in range(2 * THREADS)]
    models = {name: model_config(name) for name in [*slow, "pump"]}
    for number, (name, config) in enumerate(models.items()):
        made = replace(setup, config=config, serial=10 * number)
        made.begin(made.version(hangs_on=STUCK["a"] if name in slow else None))
    # No call counts as hung while this test lasts: it is the threads that must not run out.
    with (
        serving(setup, models=models, champion_timeout=3600.0, threads=THREADS) as client,
        ThreadPoolExecutor(len(slow)) as clients,
    ):
        states = client.runtime.states
        until(lambda: all(states[name].table.champion is not None for name in models), "all are loaded", 90)
        stuck = [clients.submit(ask, client, name, STUCK) for name in slow]
        try:
            for _ in range(3):
                answer = ask(client, "pump", ROW)
                assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
                assert not any(each.done() for each in stuck)
        finally:
            RELEASED.set()
        assert [each.result(120).status_code for each in stuck] == [200] * len(slow)
        assert ask(client, "slow_0", ROW).status_code == 200


def test_a_model_whose_calls_fail_affects_no_other(setup):
    models = {name: model_config(name) for name in ("poisonous", "pump")}
    for number, (name, config) in enumerate(models.items()):
        made = replace(setup, config=config, serial=10 * number)
        made.begin(made.version(raises=name == "poisonous"))
    with serving(setup, models=models, threads=1) as client:
        until(lambda: client.runtime.states["pump"].table.champion is not None, "it is loaded", 90)
        for _ in range(5):
            assert ask(client, "poisonous", ROW).status_code >= 500
            assert ask(client, "pump", ROW).status_code == 200


def test_a_pool_has_as_many_threads_as_before_once_long_calls_have_ended():
    pool, go_on = ReplacingThreadPool(2, "test", hang_seconds=3600.0, long_seconds=0.0), threading.Event()
    before = threading.active_count()
    long = [pool.submit(go_on.wait, 120) for _ in range(4)]
    late = pool.submit(lambda: 7)

    def ended():
        assert pool.replace_hung() == [], "none of them hangs"
        return late.done()

    until(ended, "the short call has a thread")
    assert not any(each.done() for each in long)
    go_on.set()
    assert [each.result(30) for each in long] == [True] * 4
    until(lambda: threading.active_count() == before + 2, "the others have ended")
    assert pool.replace_hung() == []
    assert pool.submit(lambda: 8).result(30) == 8
    pool.shutdown()


def test_beyond_its_limit_a_pool_keeps_its_threads():
    pool, go_on = ReplacingThreadPool(1, "test", hang_seconds=0.0, max_hung=1), threading.Event()
    first = pool.submit(go_on.wait, 120)
    until(pool.replace_hung, "it counts as hung")
    second = pool.submit(go_on.wait, 120)
    until(pool.replace_hung, "this one too, and is not replaced")
    go_on.set()
    assert (first.result(30), second.result(30)) == (True, True)
    assert pool.submit(lambda: 9).result(30) == 9, "a thread is left"
    pool.shutdown()
