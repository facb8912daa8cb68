"""What goes wrong between the detector and AWS: retried where it helps, told; nothing lost, nothing twice."""

import threading

import pytest

from aws_lambda.aws_fault_proxy import HALF, s3_fault, sqs_fault
from aws_lambda.lambda_fixture import HOUR, event
from homeostat.adapters import open_store, open_triggers
from homeostat.aws.lambda_handler import check
from homeostat.config.errors import ConfigError, NotFound, Unavailable
from homeostat.ports import TriggerMessage
from sample_model import T0

FIRED = ["toy/2026-03-02T05:00:00+00:00"]


@pytest.fixture
def drifting(cloud, trained):
    """A model in the cloud whose second drifted window fires; the first was checked."""
    both = cloud.both(trained)
    both.serve(0, 8, shift=1.5, labels=False)
    both.publish()
    assert both.check(4)["verdict"] == "alert"
    return both


@pytest.mark.parametrize(
    "fault", [s3_fault(503, "SlowDown"), s3_fault(500, "InternalError"), s3_fault(502, "BadGateway")]
)
def test_what_passes_is_asked_again(cloud, drifting, fault):
    cloud.proxy.first(2, fault)
    assert drifting.check(5)["sent"] == FIRED
    assert len(drifting.waiting()) == 1


def on_the_queue(fault):
    """A rule: S3 answers, SQS does not; its requests name no bucket in their path."""
    return lambda method, path: None if path.startswith("/homeostat-tests") else fault


def test_a_queue_that_throttles_is_asked_again(cloud, drifting):
    def rule(method, path):
        asked.append(path)
        return (
            None if asked.count("/") > 1 else on_the_queue(sqs_fault(400, "RequestThrottled"))(method, path)
        )

    asked = []
    cloud.proxy.rule = rule
    assert drifting.check(5)["sent"] == FIRED
    assert asked.count("/") == 2


def test_throttling_that_lasts_is_told_and_the_next_check_sends_what_has_fired(cloud, drifting):
    both = drifting
    cloud.proxy.rule = on_the_queue(sqs_fault(500, "InternalError"))
    with pytest.raises(Unavailable, match=r"d-.*\.fifo: AWS answered"):
        both.check(5)
    cloud.proxy.always(s3_fault(503, "SlowDown"), part="/log/")
    with pytest.raises(Unavailable, match=r"fewer requests \((SlowDown|503)\); asked 3 times"):
        both.check(6)
    cloud.proxy.rule = lambda method, path: None
    answer = both.check(6)
    assert (answer["fired"], answer["sent"]) == (False, FIRED)
    assert [sent["trigger_id"] for sent in both.waiting()] == FIRED


S3_ANSWERS = [
    (503, "SlowDown", Unavailable, r"fewer requests \((SlowDown|503)\); asked 3 times"),
    (500, "InternalError", Unavailable, "AWS answered"),
    (400, "ExpiredToken", ConfigError, "credentials expired: sign in again"),
    (403, "AccessDenied", ConfigError, "access denied.*role.*access.tf"),
    (403, "InvalidAccessKeyId", ConfigError, "does not accept these credentials"),
    (403, "SignatureDoesNotMatch", ConfigError, "does not accept these credentials"),
    (403, "RequestTimeTooSkewed", ConfigError, "clock is wrong"),
]


@pytest.mark.parametrize(("status", "code", "kind", "said"), S3_ANSWERS, ids=[a[1] for a in S3_ANSWERS])
@pytest.mark.parametrize("call", ["get", "put", "overwrite", "exists", "list", "delete"])
def test_each_answer_of_s3_has_its_sentence_whatever_was_asked(cloud, status, code, kind, said, call):
    store = open_store(cloud.store)
    cloud.proxy.always(s3_fault(status, code))
    calls = {
        "get": lambda: store.get("k"),
        "put": lambda: store.put("k", b"1"),
        "overwrite": lambda: store.put("k", b"1", overwrite=True),
        "exists": lambda: store.exists("k"),
        "list": lambda: store.list("k"),
        "delete": lambda: store.delete("k"),
    }
    with pytest.raises(kind, match=said) as told:
        calls[call]()
    assert str(told.value).startswith("s3://homeostat-tests/")


def test_a_bucket_that_is_not_there_is_named(cloud):
    store = open_store("s3://no-such-bucket-here/x")
    for call in (lambda: store.get("k"), lambda: store.list("k"), lambda: store.put("k", b"1")):
        with pytest.raises(ConfigError, match=r"no-such-bucket-here.*HOMEOSTAT_STORE"):
            call()


def test_an_answer_that_breaks_off_is_unavailable_and_never_taken_for_whole(cloud):
    store = open_store(cloud.store)
    store.put("k", b"x" * 100_000)
    cloud.proxy.always(HALF)
    with pytest.raises(Unavailable, match="does not answer"):
        store.get("k")
    cloud.proxy.rule = lambda method, path: None
    assert len(store.get("k")) == 100_000
    with pytest.raises(NotFound):
        store.get("other")


SQS_ANSWERS = [
    (400, "RequestThrottled", Unavailable, "fewer requests"),
    (400, "KmsThrottled", Unavailable, "fewer requests"),
    (503, "ServiceUnavailable", Unavailable, "fewer requests"),
    (403, "ExpiredToken", ConfigError, "credentials expired: sign in again"),
    (403, "InvalidClientTokenId", ConfigError, "does not accept these credentials"),
    (403, "AccessDenied", ConfigError, "access denied"),
    (400, "KmsAccessDenied", ConfigError, "access denied.*KMS"),
    (400, "QueueDoesNotExist", ConfigError, "no such queue.*HOMEOSTAT_TRIGGERS"),
]


@pytest.mark.parametrize(("status", "code", "kind", "said"), SQS_ANSWERS, ids=[a[1] for a in SQS_ANSWERS])
def test_each_answer_of_sqs_has_its_sentence(cloud, status, code, kind, said):
    cloud.proxy.always(sqs_fault(status, code))
    with pytest.raises(kind, match=said) as told:
        open_triggers(cloud.queue).send(TriggerMessage("toy", "toy/1", "2026-03-02T05:00Z", "drift"))
    assert str(told.value).startswith(cloud.queue)


def test_expired_credentials_stop_a_check_with_one_clear_sentence(cloud, drifting):
    cloud.proxy.always(s3_fault(400, "ExpiredToken"))
    with pytest.raises(ConfigError, match="credentials expired"):
        drifting.check(5)
    cloud.proxy.rule = lambda method, path: None
    assert drifting.check(5)["sent"] == FIRED


def test_no_credentials_at_all_are_told(cloud, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no AWS credentials"):
        open_store(cloud.store).get("k")


def test_a_window_that_is_half_written_gives_what_it_gives_locally_and_the_rest_counts_later(both, caplog):
    """A torn file is passed over and told; the next check of the window sees what has come meanwhile."""
    from dataclasses import replace

    from homeostat.adapters.history_memory import MemoryHistory
    from homeostat.monitoring.drift_check import check_drift

    both.serve(0, 4, labels=False)
    (torn,) = [key for key in both.here.store.list("log/toy/predictions") if "hour=02" in key]
    whole = both.here.store.get(torn)
    both.here.store.put(torn, whole[: len(whole) // 2], overwrite=True)
    both.publish()
    there = both.check(4)
    assert there["rows"] == 180
    assert f"{torn} cannot be read and is passed over" in caplog.text
    local = replace(both.airflow, history=MemoryHistory())
    here = check_drift(both.config, local, T0 + 4 * HOUR)
    assert {**there, "url": "", "sent": ""} == {**here, "url": "", "sent": ""}
    both.serve(2, 3, labels=False, gateway="again")
    assert both.check(4)["rows"] == 240
    assert [record.rows for record in both.here.history.windows("toy")] == [240]


@pytest.mark.parametrize("point", ["before-send", "before-receipt"])
def test_killed_around_the_sending_leaves_one_message_in_the_end(cloud, drifting, point):
    process = cloud.start(event("toy", 5), point)
    _, err = process.communicate()
    assert process.returncode == 9, err
    assert [record.fired for record in drifting.here.history.windows("toy")] == [False, True]
    assert drifting.here.store.list("triggers/toy") == []
    answer = drifting.check(6)
    assert (answer["fired"], answer["sent"]) == (False, FIRED)
    assert drifting.check(7)["sent"] == []
    assert [sent["trigger_id"] for sent in drifting.waiting()] == FIRED


def test_the_same_event_twice_is_one_message(cloud, drifting):
    answers = [drifting.check(5) for _ in range(2)]
    assert [answer["fired"] for answer in answers] == [True, True]
    assert [answer["trigger_id"] for answer in answers] == FIRED * 2
    assert len(drifting.waiting()) == 1


def test_threads_that_all_find_the_trigger_unsent_send_one_message(trained, both, monkeypatch):
    both.serve(0, 8, shift=1.5, labels=False)
    both.publish()
    both.check(4)
    met = threading.Barrier(3)
    send, failed = both.here.triggers.send, []

    def together(message):
        met.wait(60)
        send(message)

    def run():
        try:
            check(event("toy", 5), both.here)
        except Exception as error:  # noqa: BLE001  # the errors are what is looked at
            failed.append(error)

    monkeypatch.setattr(both.here.triggers, "send", together)
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [sent["trigger_id"] for sent in both.waiting()] == FIRED
    assert len(both.here.store.list("triggers/toy")) == 1
