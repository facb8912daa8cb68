"""Every operator, run by Airflow's own ``dag.test()`` on a small model, with a real MLflow server."""

import json

from dags.operator_harness import gateway

STEPS = ["assemble", "train", "validate", "gate", "register", "shadow", "canary", "promote"]


def test_the_first_retrain_makes_a_champion_and_doing_it_again_makes_no_second_version(world):
    done = world.retrain(run=1)
    assert done["state"] == "success"
    assert done["tasks"] == dict.fromkeys(STEPS, "success")
    assert world.traffic.champion.version == "1"
    assert list(done["xcoms"]) == STEPS or set(done["xcoms"]) == set(STEPS)
    for step, value in done["xcoms"].items():
        print(step, value)
        assert {"sentence", "url"} <= set(value)
    again = world.retrain(run=1)
    assert again["run_id"] == done["run_id"]
    assert again["state"] == "success"
    assert world.versions() == ["1"]
