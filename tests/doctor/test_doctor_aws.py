"""What is in AWS (moto's, over HTTP), as Terraform makes it, and with one thing wrong at a time."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
import requests
from botocore import exceptions

from doctor.conftest import on_disk, record, unhurried
from doctor.rewriting_proxy import Bend, bending
from homeostat.adapters import open_store_history, fake_ports, open_store
from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.config.fargate import Fargate
from homeostat.doctor import Deployment, plan
from homeostat.doctor.connect import aws_clients
from homeostat.doctor.aws.schedule_interval import longest_gap
from homeostat.storage.model_state import publish_state
from serving.gateway_harness import model_config

DIGEST = "sha256:" + "d" * 64
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/homeostat"
EVENT = {"model": "pump", "window_end": "<aws.scheduler.scheduled-time>"}


@pytest.fixture
def aws(s3_server, tmp_path, monkeypatch):
    """The cloud half of one project, as infra/terraform makes it."""
    monkeypatch.setenv("MOTO_LAMBDA_STUB_ECR", "true")
    settings = {"lambda": {"use_docker": False}}
    requests.post(f"{s3_server.endpoint}/moto-api/config", json=settings, timeout=10).raise_for_status()
    return Aws(f"hs-{uuid.uuid4().hex[:8]}", tmp_path)


class Aws:
    def __init__(self, project, tmp_path):
        self.project, self.bucket = project, f"{project}-data"
        self.store = f"s3://{self.bucket}/store"
        config = model_config(name="pump", monitor={"runs_on": "lambda"}, training={"runs_on": "ecs"})
        self.config = on_disk(tmp_path / "models", config)
        self.home = tmp_path
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        self.functions, self.scheduler, self.ecs = (
            boto3.client("lambda"),
            boto3.client("scheduler"),
            boto3.client("ecs"),
        )
        self.make_bucket()
        self.make_queues()
        self.make_detector()
        self.make_schedule()
        self.make_training()
        self.publish()
        open_store_history(open_store(self.store)).record(
            "pump", record(timedelta(minutes=20)), metrics={}, artifacts={}
        )

    def make_bucket(self):
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        self.s3.put_bucket_encryption(Bucket=self.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        self.block_public()

    def block_public(self, **changes):
        four = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        self.s3.put_public_access_block(
            Bucket=self.bucket,
            PublicAccessBlockConfiguration=dict.fromkeys(four, True) | changes,
        )

    def make_queues(self):
        fifo = {"FifoQueue": "true"}
        dead = self.sqs.create_queue(QueueName=f"{self.project}-triggers-dead.fifo", Attributes=fifo)
        self.dead = dead["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])
        policy = {"deadLetterTargetArn": found["Attributes"]["QueueArn"], "maxReceiveCount": 3}
        self.queue = self.sqs.create_queue(
            QueueName=f"{self.project}-triggers.fifo",
            Attributes=fifo | {"RedrivePolicy": json.dumps(policy), "MessageRetentionPeriod": "86400"},
        )["QueueUrl"]
        self.failures = self.sqs.create_queue(QueueName=f"{self.project}-detector-failures")["QueueUrl"]

    def make_detector(self):
        iam = boto3.client("iam")
        trust = {"Version": "2012-10-17", "Statement": []}
        role = iam.create_role(RoleName=self.project, AssumeRolePolicyDocument=json.dumps(trust))
        self.detector = f"{self.project}-detector"
        made = self.functions.create_function(
            FunctionName=self.detector,
            PackageType="Image",
            Code={"ImageUri": f"{ECR}-detector@{DIGEST}"},
            Role=role["Role"]["Arn"],
            Environment={"Variables": self.variables()},
        )
        self.function_arn, self.role_arn = made["FunctionArn"], role["Role"]["Arn"]

    def variables(self, **changes):
        ours = {"HOMEOSTAT_STORE": self.store, "HOMEOSTAT_TRIGGERS": self.queue}
        return {**ours, "HOMEOSTAT_IMAGE_DIGEST": DIGEST, **changes}

    def configure(self, **changes):
        self.functions.update_function_configuration(
            FunctionName=self.detector, Environment={"Variables": self.variables(**changes)}
        )

    def make_schedule(self):
        self.scheduler.create_schedule_group(Name=self.project)
        self.scheduler.create_schedule(**self.schedule())

    def schedule(self, event=None, arn=None, **changes):
        target = {
            "Arn": arn or self.function_arn,
            "RoleArn": self.role_arn,
            "Input": json.dumps(event or EVENT),
        }
        return {
            "GroupName": self.project,
            "Name": "pump",
            "ScheduleExpression": "cron(0 * * * ? *)",
            "State": "ENABLED",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
            **changes,
        }

    def make_training(self):
        self.ecs.create_cluster(clusterName=self.project)
        self.define()

    def define(self, image=f"{ECR}-platform@{DIGEST}", name="train", store=None):
        self.ecs.register_task_definition(
            family=f"{self.project}-train",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="4096",
            memory="16384",
            containerDefinitions=[
                {
                    "name": name,
                    "image": image,
                    "memory": 16384,
                    "environment": [{"name": "HOMEOSTAT_STORE", "value": store or self.store}],
                }
            ],
        )

    def publish_state(self, ago=timedelta(0)):
        clock = SimpleNamespace(now=lambda: datetime.now(UTC) - ago)
        publish_state(self.config, fake_ports(store=open_store(self.store), clock=clock))

    def settings(self, **changes):
        fargate = Fargate(
            cluster=self.project,
            task_definition=f"{self.project}-train",
            subnets=("subnet-1",),
            security_groups=("sg-1",),
        )
        env = {
            "HOMEOSTAT_HOME": str(self.home),
            "HOMEOSTAT_MODELS": str(self.home / "models"),
            "HOMEOSTAT_STORE": self.store,
            "HOMEOSTAT_PROJECT": self.project,
            "HOMEOSTAT_TRIGGERS": self.queue,
            "HOMEOSTAT_ECS": fargate.model_dump_json(),
            **changes,
        }
        return Settings.from_env(env)

    def examined(self, *names, env=None, now=None, config=None, **changes):
        own = {"now": now} if now else {}
        deployment = Deployment(self.settings(**changes), (config or self.config,), env=env or {}, **own)
        return unhurried([probe for probe in plan(deployment) if probe.name in names])

    def one(self, name, **changes):
        (found,) = self.examined(name, **changes)
        return found


IN_AWS = (
    *("aws credentials", "bucket", "queue", "dead letters", "failed checks", "detector"),
    *("schedule", "published", "cluster", "training task"),
)


def test_a_cloud_half_as_terraform_makes_it_is_found_well(aws):
    found = aws.examined(*IN_AWS, "store", "settings", env={"HOMEOSTAT_IMAGE_DIGEST": DIGEST})
    assert {check.name for check in found} == {*IN_AWS, "store", "settings"}
    assert {check.state for check in found} == {"ok"}, found
    assert open_store(aws.store).list("doctor") == []


def test_the_detectors_own_history_says_when_it_checked_last(aws, tmp_path):
    from dataclasses import replace

    from homeostat.adapters import open_ledger
    from homeostat.core.rollout import VersionRef

    url, now = f"sqlite:///{tmp_path / 'l.db'}", datetime.now(UTC)
    ledger = open_ledger(url)
    traffic = replace(ledger.read("pump"), champion=VersionRef("1", "0" * 64), promoted_at=now)
    ledger.write(traffic, kind="promoted", reason="a test", by="test", at=now)
    ledger.close()
    assert aws.one("last check", HOMEOSTAT_LEDGER=url).state == "ok"
    keys = open_store(aws.store).list("history")
    silent = aws.one("last check", HOMEOSTAT_LEDGER=url, now=lambda: now + timedelta(hours=5))
    assert silent.state == "broken"
    assert f"/aws/lambda/{aws.project}-detector" in silent.cure
    assert open_store(aws.store).list("history") == keys


def test_nothing_in_aws_is_not_looked_for(aws, tmp_path):
    nothing = {"HOMEOSTAT_TRIGGERS": "", "HOMEOSTAT_ECS": "", "HOMEOSTAT_STORE": f"file://{tmp_path}"}
    deployment = Deployment(aws.settings(**nothing), (on_disk(tmp_path / "local", model_config()),), env={})
    found = unhurried([probe for probe in plan(deployment) if probe.name in (*IN_AWS, "aws")])
    assert [(check.name, check.state) for check in found] == [("aws", "skipped")]
    elsewhere = Deployment(aws.settings(**nothing | {"HOMEOSTAT_STORE": aws.store}), env={})
    assert "aws" in {probe.name for probe in plan(elsewhere)}  # a server that speaks S3 is not AWS


@pytest.mark.parametrize("name", [None, "AWS_ACCESS_KEY_ID"])
def test_credentials_that_are_missing_or_expired(aws, monkeypatch, name):
    if name:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        found = {check.name: check for check in aws.examined(*IN_AWS)}
        said = "no AWS credentials"
    else:
        text = (
            b"<ErrorResponse><Error><Code>ExpiredToken</Code><Message>old</Message></Error></ErrorResponse>"
        )

        def expired(_method, _path, _headers, body):
            return (403, "text/xml", text) if b"GetCallerIdentity" in body else None

        with bending(boto3.client("s3").meta.endpoint_url, Bend(instead=expired)) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            found = {check.name: check for check in aws.examined(*IN_AWS)}
        said = "expired"
    first = found.pop("aws credentials")
    assert first.state == "broken"
    assert said in first.sentence
    assert "aws sso login" in first.cure
    found.pop("published")  # that is the store's, which says so itself
    assert {check.state for check in found.values()} == {"skipped"}


@pytest.mark.parametrize(
    "error",
    [
        exceptions.UnauthorizedSSOTokenError(),
        exceptions.TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"),
        exceptions.SSOTokenLoadError(error_msg="Token for team does not exist"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_who_has_to_sign_in_again_is_told_so_and_not_that_aws_is_away(error):
    with pytest.raises(ConfigError, match="have expired"), aws_clients.asking("sts:GetCallerIdentity"):
        raise error


def test_without_a_region_it_says_which_is_asked(aws, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    found = aws.one("aws credentials")
    assert found.state == "warning"
    assert "us-east-1" in found.sentence


ACTIONS = {
    "bucket": "s3:GetBucketVersioning",
    "queue": "sqs:GetQueueAttributes",
    "dead letters": "sqs:GetQueueAttributes",
    "failed checks": "sqs:GetQueueUrl",
    "detector": "lambda:GetFunctionConfiguration",
    "schedule": "scheduler:GetSchedule",
    "cluster": "ecs:DescribeClusters",
    "training task": "ecs:DescribeTaskDefinition",
}


def test_who_may_not_look_is_told_which_action_is_missing(aws, monkeypatch):
    def denied(_method, path, headers, body):
        if b"GetCallerIdentity" in body:
            return None
        if re.search(r"/\?versioning", path):
            return 403, "text/xml", b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        said = {"__type": "AccessDeniedException", "Code": "AccessDeniedException", "message": "no"}
        return 403, "application/x-amz-json-1.0", json.dumps(said).encode()

    with bending(boto3.client("s3").meta.endpoint_url, Bend(instead=denied)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = {check.name: check for check in aws.examined(*ACTIONS)}
    for name, action in ACTIONS.items():
        assert found[name].state == "warning", found[name]
        assert f"not allowed to ({action})" in found[name].sentence
        assert "airflow_policy_arn" in found[name].cure


def test_a_bucket_that_is_not_there_open_or_unversioned(aws):
    aws.block_public(BlockPublicPolicy=False)
    found = aws.one("bucket")
    assert found.state == "broken"
    assert "BlockPublicPolicy" in found.sentence
    aws.block_public()
    aws.s3.put_bucket_versioning(Bucket=aws.bucket, VersioningConfiguration={"Status": "Suspended"})
    aws.s3.delete_bucket_encryption(Bucket=aws.bucket)
    found = aws.one("bucket")
    assert found.state == "warning"
    assert "versioning" in found.sentence
    aws.s3.delete_public_access_block(Bucket=aws.bucket)
    assert aws.one("bucket").state == "broken"
    assert "no bucket" in aws.one("bucket", HOMEOSTAT_STORE="s3://no-such-bucket/store").sentence
    assert aws.one("store", HOMEOSTAT_STORE="s3://no-such-bucket/store").state == "broken"


def test_a_store_that_passes_over_conditions_is_a_warning(aws, monkeypatch):
    bend = Bend(drop=("If-None-Match",))
    with bending(boto3.client("s3").meta.endpoint_url, bend) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = aws.one("store")
        assert open_store(aws.store).list("doctor") == []
    assert found.state == "warning"
    assert "If-None-Match" in found.sentence


def test_a_queue_with_waiting_triggers_dead_letters_or_without_a_redrive_policy(aws):
    aws.sqs.send_message(
        QueueUrl=aws.queue, MessageBody="{}", MessageGroupId="pump", MessageDeduplicationId="1"
    )
    waiting = aws.one("queue")
    assert waiting.state == "warning"
    assert "1 trigger waits" in waiting.sentence
    assert "consume_retrain_triggers" in waiting.cure
    for n in range(2):
        aws.sqs.send_message(
            QueueUrl=aws.dead, MessageBody="?", MessageGroupId="pump", MessageDeduplicationId=str(n)
        )
    dead = aws.one("dead letters")
    assert dead.state == "broken"
    assert "2 triggers were given up after 3 tries" in dead.sentence
    assert f"aws sqs receive-message --queue-url {aws.dead}" in dead.cure
    aws.sqs.send_message(QueueUrl=aws.failures, MessageBody="{}")
    failed = aws.one("failed checks")
    assert "1 check failed for good" in failed.sentence
    assert "invoke the detector for that window" in failed.cure

    standard = aws.sqs.create_queue(QueueName=f"{aws.project}-standard")["QueueUrl"]
    assert "no FIFO" in aws.one("queue", HOMEOSTAT_TRIGGERS=standard).sentence
    fifo = aws.sqs.create_queue(QueueName=f"{aws.project}-bare.fifo", Attributes={"FifoQueue": "true"})
    assert "no redrive policy" in aws.one("queue", HOMEOSTAT_TRIGGERS=fifo["QueueUrl"]).sentence
    gone = aws.queue.replace("triggers", "none")
    assert aws.one("queue", HOMEOSTAT_TRIGGERS=gone).state == "broken"
    assert aws.one("dead letters", HOMEOSTAT_TRIGGERS=gone).state == "skipped"


def test_a_detector_that_is_missing_or_works_on_other_things(aws):
    assert aws.one("detector", HOMEOSTAT_PROJECT="another").state == "broken"
    aws.configure(HOMEOSTAT_STORE="s3://another/store")
    other = aws.one("detector")
    assert other.state == "broken"
    assert "HOMEOSTAT_STORE is s3://another/store there" in other.sentence
    aws.configure(HOMEOSTAT_IMAGE_DIGEST="latest")
    loose = aws.one("detector")
    assert loose.state == "warning"
    assert "digest" in loose.sentence


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"State": "DISABLED"}, "broken", "disabled"),
        ({"ScheduleExpression": "rate(2 hours)"}, "broken", "rate(2 hours) leaves up to 2 h"),
        ({"ScheduleExpression": "at(2030-01-01T00:00:00)"}, "warning", "not understood"),
        ({"event": {"model": "pimp"}}, "broken", "does not name this model"),
        ({"arn": "arn:aws:lambda:us-east-1:123456789012:function:other"}, "broken", "another function"),
    ],
)
def test_a_schedule_that_does_not_do_its_work(aws, changes, state, said):
    aws.scheduler.update_schedule(**aws.schedule(**changes))
    found = aws.one("schedule")
    assert found.state == state
    assert said in found.sentence


def test_a_model_without_a_schedule(aws):
    aws.scheduler.delete_schedule(GroupName=aws.project, Name="pump")
    found = aws.one("schedule")
    assert found.state == "broken"
    assert "terraform.tfvars" in found.cure


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("rate(1 hour)", 60),
        ("rate(15 minutes)", 15),
        ("rate(1 day)", 1440),
        ("cron(0 * * * ? *)", 60),
        ("cron(0/15 * * * ? *)", 15),
        ("cron(0 0/6 * * ? *)", 360),
        ("cron(0 0 * * ? *)", 1440),
        ("cron(0 8-18 * * ? *)", 840),
        ("cron(5,35 * ? * * *)", 30),
        ("cron(0 0 ? * MON *)", None),
        ("cron(0 0 1 * ? *)", None),
        ("cron(x * * * ? *)", None),
        ("cron(0/0 * * * ? *)", None),
        ("cron(90 * * * ? *)", None),
        ("at(2030-01-01T00:00:00)", None),
    ],
)
def test_how_long_a_schedule_may_leave_between_checks(expression, minutes):
    assert longest_gap(expression) == (None if minutes is None else timedelta(minutes=minutes))


def test_what_the_detector_is_told_is_missing_or_old(aws):
    aws.publish(ago=timedelta(hours=4))
    old = aws.one("published")
    assert old.state == "broken"
    assert "published 4 h ago" in old.sentence
    open_store(aws.store).put("published/pump.json", b"{", overwrite=True)
    assert aws.one("published").state == "broken"
    open_store(aws.store).delete("published/pump.json")
    missing = aws.one("published")
    assert missing.state == "broken"
    assert "drift_check__pump" in missing.cure


def test_training_that_cannot_be_started_or_runs_in_another_image(aws):
    here = {"HOMEOSTAT_IMAGE_DIGEST": "sha256:" + "e" * 64}
    other = aws.one("training task", env=here)
    assert other.state == "warning"
    assert "this process runs in sha256:eeee" in other.sentence
    strict = on_disk(
        aws.home / "strict",
        model_config(name="strict", training={"runs_on": "ecs", "parity": "enforce"}),
    )
    assert "strict has training.parity: enforce" in aws.one("training task", env=here, config=strict).sentence
    aws.define(image=f"{ECR}-platform:latest")
    assert "a tag may move" in aws.one("training task").sentence
    aws.define(store="s3://another/store")
    assert "HOMEOSTAT_STORE is s3://another/store there" in aws.one("training task").sentence
    aws.define(name="other")
    assert "no container 'train'" in aws.one("training task").sentence
    none = aws.settings().ecs.model_copy(update={"cluster": "none", "task_definition": "none"})
    found = aws.examined("training task", "cluster", HOMEOSTAT_ECS=none.model_dump_json())
    assert [check.state for check in found] == ["broken", "broken"]
