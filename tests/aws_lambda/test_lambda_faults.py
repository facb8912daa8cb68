"""Faults of AWS: transient ones are retried, others reported; no trigger is lost or sent twice."""

import threading

import pytest

from aws_lambda.aws_fault_proxy import TRUNCATED, s3_fault, sqs_fault
from aws_lambda.lambda_fixture import HOUR, event
from homeostat.adapters import open_store, open_trigger_queue
from homeostat.aws.lambda_handler import check_window
from homeostat.config.errors import ConfigError, NotFound, Unavailable
from homeostat.ports import TriggerMessage
from sample_model import T0

FIRED = ["sample/2026-03-02T05:00:00+00:00"]


@pytest.fixture
def drifting(aws, trained):
    """A model in the aws whose second drifted window fires; the first was checked."""
    deployment = aws.deployment(trained)
    deployment.serve(0, 8, shift=1.5, labels=False)
    deployment.publish_state()
    assert deployment.check(4)["verdict"] == "alert"
    return deployment


@pytest.mark.parametrize(
    "fault", [s3_fault(503, "SlowDown"), s3_fault(500, "InternalError"), s3_fault(502, "BadGateway")]
)
def test_transient_errors_are_retried(aws, drifting, fault):
    aws.proxy.first(2, fault)
    assert drifting.check(5)["sent"] == FIRED
    assert len(drifting.queued_messages()) == 1


def on_sqs_only(fault):
    """A rule: S3 results, SQS does not; its requests name no bucket in their path."""
    return lambda method, path: None if path.startswith("/homeostat-tests") else fault


def test_a_throttled_send_is_retried(aws, drifting):
    def rule(method, path):
        paths.append(path)
        return None if paths.count("/") > 1 else on_sqs_only(sqs_fault(400, "RequestThrottled"))(method, path)

    paths = []
    aws.proxy.rule = rule
    assert drifting.check(5)["sent"] == FIRED
    assert paths.count("/") == 2


def test_lasting_errors_are_raised_and_the_next_check_sends_the_trigger(aws, drifting):
    deployment = drifting
    aws.proxy.rule = on_sqs_only(sqs_fault(500, "InternalError"))
    with pytest.raises(Unavailable, match=r"d-.*\.fifo: AWS returned"):
        deployment.check(5)
    aws.proxy.always(s3_fault(503, "SlowDown"), part="/log/")
    with pytest.raises(Unavailable, match=r"fewer requests \((SlowDown|503)\); asked 3 times"):
        deployment.check(6)
    aws.proxy.rule = lambda method, path: None
    result = deployment.check(6)
    assert (result["fired"], result["sent"]) == (False, FIRED)
    assert [sent["trigger_id"] for sent in deployment.queued_messages()] == FIRED


S3_ERRORS = [
    (503, "SlowDown", Unavailable, r"fewer requests \((SlowDown|503)\); asked 3 times"),
    (500, "InternalError", Unavailable, "AWS returned"),
    (400, "ExpiredToken", ConfigError, "credentials expired: sign in again"),
    (403, "AccessDenied", ConfigError, "access denied.*role.*access.tf"),
    (403, "InvalidAccessKeyId", ConfigError, "does not accept these credentials"),
    (403, "SignatureDoesNotMatch", ConfigError, "does not accept these credentials"),
    (403, "RequestTimeTooSkewed", ConfigError, "clock is wrong"),
]


@pytest.mark.parametrize(("status", "code", "kind", "expected"), S3_ERRORS, ids=[a[1] for a in S3_ERRORS])
@pytest.mark.parametrize("call", ["get", "put", "overwrite", "exists", "list", "delete"])
def test_each_error_of_s3_has_its_message_in_every_call(aws, status, code, kind, expected, call):
    store = open_store(aws.store)
    aws.proxy.always(s3_fault(status, code))
    calls = {
        "get": lambda: store.get("k"),
        "put": lambda: store.put("k", b"1"),
        "overwrite": lambda: store.put("k", b"1", overwrite=True),
        "exists": lambda: store.exists("k"),
        "list": lambda: store.list("k"),
        "delete": lambda: store.delete("k"),
    }
    with pytest.raises(kind, match=expected) as error:
        calls[call]()
    assert str(error.value).startswith("s3://homeostat-tests/")


def test_a_missing_bucket_is_named(aws):
    store = open_store("s3://no-such-bucket-here/x")
    for call in (lambda: store.get("k"), lambda: store.list("k"), lambda: store.put("k", b"1")):
        with pytest.raises(ConfigError, match=r"no-such-bucket-here.*HOMEOSTAT_STORE"):
            call()


def test_a_truncated_response_is_unavailable(aws):
    store = open_store(aws.store)
    store.put("k", b"x" * 100_000)
    aws.proxy.always(TRUNCATED)
    with pytest.raises(Unavailable, match="does not answer"):
        store.get("k")
    aws.proxy.rule = lambda method, path: None
    assert len(store.get("k")) == 100_000
    with pytest.raises(NotFound):
        store.get("other")


SQS_ERRORS = [
    (400, "RequestThrottled", Unavailable, "fewer requests"),
    (400, "KmsThrottled", Unavailable, "fewer requests"),
    (503, "ServiceUnavailable", Unavailable, "fewer requests"),
    (403, "ExpiredToken", ConfigError, "credentials expired: sign in again"),
    (403, "InvalidClientTokenId", ConfigError, "does not accept these credentials"),
    (403, "AccessDenied", ConfigError, "access denied"),
    (400, "KmsAccessDenied", ConfigError, "access denied.*KMS"),
    (400, "QueueDoesNotExist", ConfigError, "no such queue.*HOMEOSTAT_TRIGGERS"),
]


@pytest.mark.parametrize(("status", "code", "kind", "expected"), SQS_ERRORS, ids=[a[1] for a in SQS_ERRORS])
def test_each_error_of_sqs_has_its_message(aws, status, code, kind, expected):
    aws.proxy.always(sqs_fault(status, code))
    with pytest.raises(kind, match=expected) as error:
        open_trigger_queue(aws.queue).send(TriggerMessage("sample", "sample/1", "2026-03-02T05:00Z", "drift"))
    assert str(error.value).startswith(aws.queue)


def test_expired_credentials_fail_a_check_with_a_clear_message(aws, drifting):
    aws.proxy.always(s3_fault(400, "ExpiredToken"))
    with pytest.raises(ConfigError, match="credentials expired"):
        drifting.check(5)
    aws.proxy.rule = lambda method, path: None
    assert drifting.check(5)["sent"] == FIRED


def test_missing_credentials_are_reported(aws, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no AWS credentials"):
        open_store(aws.store).get("k")


def test_a_truncated_log_file_is_skipped_as_in_airflow_and_later_rows_count(deployment, caplog):
    """The file is skipped and logged; the next check of the window includes rows logged since."""
    from dataclasses import replace

    from homeostat.adapters.history_memory import MemoryHistory
    from homeostat.monitoring.drift_check import check_drift

    deployment.serve(0, 4, labels=False)
    (torn,) = [key for key in deployment.resources.store.list("log/sample/predictions") if "hour=02" in key]
    whole = deployment.resources.store.get(torn)
    deployment.resources.store.put(torn, whole[: len(whole) // 2], overwrite=True)
    deployment.publish_state()
    by_lambda = deployment.check(4)
    assert by_lambda["rows"] == 180
    assert f"skipping {torn}, which cannot be read" in caplog.text
    local = replace(deployment.airflow, history=MemoryHistory())
    by_airflow = check_drift(deployment.config, local, T0 + 4 * HOUR)
    assert {**by_lambda, "url": "", "sent": ""} == {**by_airflow, "url": "", "sent": ""}
    deployment.serve(2, 3, labels=False, gateway="again")
    assert deployment.check(4)["rows"] == 240
    assert [record.rows for record in deployment.resources.history.windows("sample")] == [240]


@pytest.mark.parametrize("point", ["before-send", "before-receipt"])
def test_a_kill_around_the_send_ends_with_one_message(aws, drifting, point):
    process = aws.start(event("sample", 5), point)
    _, err = process.communicate()
    assert process.returncode == 9, err
    assert [record.fired for record in drifting.resources.history.windows("sample")] == [False, True]
    assert drifting.resources.store.list("triggers/sample") == []
    result = drifting.check(6)
    assert (result["fired"], result["sent"]) == (False, FIRED)
    assert drifting.check(7)["sent"] == []
    assert [sent["trigger_id"] for sent in drifting.queued_messages()] == FIRED


def test_the_same_event_twice_is_one_message(aws, drifting):
    results = [drifting.check(5) for _ in range(2)]
    assert [result["fired"] for result in results] == [True, True]
    assert [result["trigger_id"] for result in results] == FIRED * 2
    assert len(drifting.queued_messages()) == 1


def test_concurrent_checks_send_one_message(trained, deployment, monkeypatch):
    deployment.serve(0, 8, shift=1.5, labels=False)
    deployment.publish_state()
    deployment.check(4)
    barrier = threading.Barrier(3)
    send, failed = deployment.resources.triggers.send, []

    def send_together(message):
        barrier.wait(60)
        send(message)

    def run():
        try:
            check_window(event("sample", 5), deployment.resources)
        except Exception as error:  # noqa: BLE001  # the test asserts on the errors
            failed.append(error)

    monkeypatch.setattr(deployment.resources.triggers, "send", send_together)
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [sent["trigger_id"] for sent in deployment.queued_messages()] == FIRED
    assert len(deployment.resources.store.list("triggers/sample")) == 1
