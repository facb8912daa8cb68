"""Labels of classes that the model does not have are refused with the classes that it has."""

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.config import ModelConfig
from homeostat.storage.prediction_log import read_labels
from serving.gateway_harness import make_gateway_fixture, model_config, serving, until

YES_NO = {"classes": ["No", "Yes"]}
REMEDY = (
    "In its model.yaml, schema.label.mapping turns another spelling into a class, and schema.label.classes "
    "lists a class that no served version knows yet."
)


def with_label(**label) -> ModelConfig:
    raw = model_config().model_dump(mode="json", by_alias=True)
    raw["schema"]["label"] |= label
    return ModelConfig.model_validate(raw)


def labels_in_the_store(setup, client):
    assert client.order("flush").status_code == 200
    end = datetime.now(UTC) + timedelta(minutes=1)
    found = read_labels(setup.ports.store, setup.config, end - timedelta(hours=1), end)
    return dict(zip(found["prediction_id"], found["label"], strict=True))


def test_a_label_that_is_none_of_the_served_versions_classes_is_refused_with_all_others(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(**YES_NO))
    with serving(setup) as client:
        client.ready()
        refused = client.labels({"id": "a", "label": "Yes"}, {"id": "b", "label": 1}, {"id": "c", "label": 0})
        assert refused.status_code == 422
        assert refused.json()["error_code"] == "UNPROCESSABLE_CONTENT"
        assert refused.json()["message"] == (
            f"Label 1 (1 more like it): 'label' is none of the classes of 'pump': No, Yes. {REMEDY}"
        )
        assert client.labels({"id": "a", "label": "Yes"}).json()["accepted"] == 1, "none was remembered"
        assert labels_in_the_store(setup, client) == {"a": "Yes"}


def test_classes_are_those_of_champion_candidate_and_previous_version(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(**YES_NO))
    with serving(setup) as client:
        client.ready()
        assert client.labels({"id": "a", "label": "Maybe"}).status_code == 422
        setup.begin(setup.version(classes=["No", "Yes", "Maybe"]))  # in shadow
        until(lambda: client.labels({"id": "b", "label": "Maybe"}).status_code == 200, "it is loaded")
        assert client.labels({"id": "c", "label": 1}).status_code == 422


def test_before_a_version_is_loaded_any_class_is_accepted(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    with serving(setup) as client:
        assert client.labels({"id": "a", "label": "anything"}).json()["accepted"] == 1


def test_versions_that_do_not_name_their_classes_accept_any(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(classes=None))
    with serving(setup) as client:
        client.ready()
        assert client.labels({"id": "a", "label": "anything"}).json()["accepted"] == 1


def test_listed_classes_decide_also_for_a_class_that_no_version_knows(tmp_path):
    setup = make_gateway_fixture(tmp_path, with_label(classes=["No", "Yes", "Maybe"]))
    setup.begin(setup.version(**YES_NO))
    with serving(setup) as client:
        assert client.labels({"id": "a", "label": 1}).status_code == 422, "no version is needed to know"
        client.ready()
        assert client.labels({"id": "a", "label": "Maybe"}).json()["accepted"] == 1
        assert "Maybe, No, Yes" in client.labels({"id": "b", "label": "yes"}).json()["message"]


@pytest.mark.parametrize("spelling", [1, 1.0, True, "1", "j", "Yes"])
def test_a_spelling_is_stored_as_its_class(tmp_path, spelling):
    setup = make_gateway_fixture(tmp_path, with_label(mapping={"1": "Yes", "0": "No", "j": "Yes"}))
    setup.begin(setup.version(**YES_NO))
    with serving(setup) as client:
        client.ready()
        assert client.labels({"id": "a", "label": spelling}).json()["accepted"] == 1
        assert client.labels({"id": "a", "label": "Yes"}).json()["duplicates"] == 1
        assert labels_in_the_store(setup, client) == {"a": "Yes"}


def test_a_mapping_to_a_class_that_no_version_has_is_said(tmp_path):
    setup = make_gateway_fixture(tmp_path, with_label(mapping={"Yes": "1", "No": "0"}))
    setup.begin(setup.version(**YES_NO))
    with serving(setup) as client:
        client.ready()
        message = client.labels({"id": "a", "label": "Yes"}).json()["message"]
        assert "classes of 'pump': No, Yes; schema.label.mapping turns it into '1'" in message


def test_the_message_names_at_most_twenty_classes_and_no_value_of_the_request(tmp_path):
    setup = make_gateway_fixture(tmp_path, with_label(classes=[f"c{n:02d}" for n in range(30)]))
    with serving(setup) as client:
        message = client.labels({"id": "a", "label": "a secret"}).json()["message"]
    assert "c00, c01" in message
    assert "c19, ..." in message
    assert "c20" not in message
    assert "secret" not in message


def test_values_outside_a_features_categories_are_predicted_and_counted_in_the_status(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        rows = [{"a": 1.0, "b": 0.0, "colour": colour} for colour in (1, 0, "red", None)]
        assert client.score(*rows).json() == {"predictions": [1.0] * 4}
        assert client.http.get("/models/pump").json()["counters"]["unknown_categories"] == 2
        assert "unlisted categories" in client.http.get("/overview").text


def test_only_predictions_of_this_process_are_counted_as_predicted_here(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    row = {"a": 1.0, "b": 0.0, "colour": "red"}
    with serving(setup) as client:
        client.ready()
        assert client.score(row, **{"X-Request-Id": "one"}).is_success
        assert client.score(row, row, **{"X-Request-Id": "two"}).is_success
        labels = [
            {"id": name, "label": 1} for name in ("one", "two-0", "two-1", "two", "two-2", "one-0", "x")
        ]
        assert client.labels(*labels).json() == {
            "accepted": 7,
            "duplicates": 0,
            "conflicts": 0,
            "predicted_here": 3,
        }
