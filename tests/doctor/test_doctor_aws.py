"""AWS resources (on moto, over HTTP) as Terraform creates them, and with one fault at a time."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
import requests
from botocore import exceptions

from doctor.conftest import record, run_unhurried, write_model
from doctor.rewriting_proxy import Rewrite, rewriting
from homeostat.adapters import fake_ports, open_store, open_store_history
from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.config.fargate import Fargate
from homeostat.doctor import Deployment, build_probes
from homeostat.doctor.aws.schedule_interval import longest_gap
from homeostat.doctor.connect import aws_clients
from homeostat.storage.model_state import publish_state
from serving.gateway_harness import model_config

DIGEST = "sha256:" + "d" * 64
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/homeostat"
EVENT = {"model": "pump", "window_end": "<aws.scheduler.scheduled-time>"}


@pytest.fixture
def aws(s3_server, tmp_path, monkeypatch):
    """Return the AWS resources of one project as infra/terraform creates them."""
    monkeypatch.setenv("MOTO_LAMBDA_STUB_ECR", "true")
    settings = {"lambda": {"use_docker": False}}
    requests.post(f"{s3_server.endpoint}/moto-api/config", json=settings, timeout=10).raise_for_status()
    return Aws(f"hs-{uuid.uuid4().hex[:8]}", tmp_path)


class Aws:
    def __init__(self, project, tmp_path):
        self.project, self.bucket = project, f"{project}-data"
        self.store = f"s3://{self.bucket}/store"
        config = model_config(name="pump", monitor={"runs_on": "lambda"}, training={"runs_on": "ecs"})
        self.config = write_model(tmp_path / "models", config)
        self.home = tmp_path
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        self.functions, self.scheduler = boto3.client("lambda"), boto3.client("scheduler")
        self.ecs = boto3.client("ecs")
        self.create_bucket()
        self.create_queues()
        self.create_function()
        self.create_schedule()
        self.create_training()
        self.publish()
        open_store_history(open_store(self.store)).record(
            "pump", record(timedelta(minutes=20)), metrics={}, artifacts={}
        )

    def create_bucket(self):
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        self.s3.put_bucket_encryption(Bucket=self.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        self.block_public()

    def block_public(self, **changes):
        settings = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        self.s3.put_public_access_block(
            Bucket=self.bucket,
            PublicAccessBlockConfiguration=dict.fromkeys(settings, True) | changes,
        )

    def create_queues(self):
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

    def create_function(self):
        iam = boto3.client("iam")
        trust = {"Version": "2012-10-17", "Statement": []}
        role = iam.create_role(RoleName=self.project, AssumeRolePolicyDocument=json.dumps(trust))
        self.function = f"{self.project}-detector"
        made = self.functions.create_function(
            FunctionName=self.function,
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
            FunctionName=self.function, Environment={"Variables": self.variables(**changes)}
        )

    def create_schedule(self):
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

    def create_training(self):
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

    def publish(self, ago=timedelta(0)):
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

    def check(self, *names, env=None, now=None, config=None, **changes):
        own = {"now": now} if now else {}
        deployment = Deployment(self.settings(**changes), (config or self.config,), env=env or {}, **own)
        return run_unhurried([probe for probe in build_probes(deployment) if probe.name in names])

    def one(self, name, **changes):
        (found,) = self.check(name, **changes)
        return found


IN_AWS = (
    *("aws credentials", "bucket", "trigger queue", "dead letters", "failed checks", "lambda function"),
    *("schedule", "model state", "cluster", "training task"),
)


def test_resources_as_terraform_creates_them_have_no_findings(aws):
    found = aws.check(*IN_AWS, "store", "settings", env={"HOMEOSTAT_IMAGE_DIGEST": DIGEST})
    assert {check.name for check in found} == {*IN_AWS, "store", "settings"}
    assert {check.state for check in found} == {"ok"}, found
    assert open_store(aws.store).list("doctor") == []


def test_the_last_check_of_the_lambda_function_is_read_from_its_history_in_the_store(aws, tmp_path):
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
    assert f"/aws/lambda/{aws.project}-detector" in silent.remedy
    assert open_store(aws.store).list("history") == keys


def test_a_deployment_without_aws_skips_the_aws_checks(aws, tmp_path):
    nothing = {"HOMEOSTAT_TRIGGERS": "", "HOMEOSTAT_ECS": "", "HOMEOSTAT_STORE": f"file://{tmp_path}"}
    deployment = Deployment(
        aws.settings(**nothing), (write_model(tmp_path / "local", model_config()),), env={}
    )
    found = run_unhurried([probe for probe in build_probes(deployment) if probe.name in (*IN_AWS, "aws")])
    assert [(check.name, check.state) for check in found] == [("aws", "skipped")]
    other_server = Deployment(aws.settings(**nothing | {"HOMEOSTAT_STORE": aws.store}), env={})
    assert "aws" in {probe.name for probe in build_probes(other_server)}  # another S3 server is not AWS


@pytest.mark.parametrize("name", [None, "AWS_ACCESS_KEY_ID"])
def test_missing_or_expired_credentials_skip_the_other_aws_checks(aws, monkeypatch, name):
    if name:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        found = {check.name: check for check in aws.check(*IN_AWS)}
        expected = "no AWS credentials"
    else:
        text = (
            b"<ErrorResponse><Error><Code>ExpiredToken</Code><Message>old</Message></Error></ErrorResponse>"
        )

        def expired(_method, _path, _headers, body):
            return (403, "text/xml", text) if b"GetCallerIdentity" in body else None

        with rewriting(boto3.client("s3").meta.endpoint_url, Rewrite(respond=expired)) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            found = {check.name: check for check in aws.check(*IN_AWS)}
        expected = "expired"
    first = found.pop("aws credentials")
    assert first.state == "broken"
    assert expected in first.sentence
    assert "aws sso login" in first.remedy
    found.pop("model state")  # depends on the store only
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
def test_expired_sign_ins_are_reported_as_expired_credentials(error):
    with (
        pytest.raises(ConfigError, match="have expired"),
        aws_clients.translate_errors("sts:GetCallerIdentity"),
    ):
        raise error


def test_without_a_region_the_default_is_named(aws, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    found = aws.one("aws credentials")
    assert found.state == "warning"
    assert "us-east-1" in found.sentence


ACTIONS = {
    "bucket": "s3:GetBucketVersioning",
    "trigger queue": "sqs:GetQueueAttributes",
    "dead letters": "sqs:GetQueueAttributes",
    "failed checks": "sqs:GetQueueUrl",
    "lambda function": "lambda:GetFunctionConfiguration",
    "schedule": "scheduler:GetSchedule",
    "cluster": "ecs:DescribeClusters",
    "training task": "ecs:DescribeTaskDefinition",
}


def test_a_missing_permission_is_named(aws, monkeypatch):
    def denied(_method, path, headers, body):
        if b"GetCallerIdentity" in body:
            return None
        if re.search(r"/\?versioning", path):
            return 403, "text/xml", b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        error = {"__type": "AccessDeniedException", "Code": "AccessDeniedException", "message": "no"}
        return 403, "application/x-amz-json-1.0", json.dumps(error).encode()

    with rewriting(boto3.client("s3").meta.endpoint_url, Rewrite(respond=denied)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = {check.name: check for check in aws.check(*ACTIONS)}
    for name, action in ACTIONS.items():
        assert found[name].state == "warning", found[name]
        assert f"lack the permission {action}" in found[name].sentence
        assert "airflow_policy_arn" in found[name].remedy


def test_a_missing_public_or_unversioned_bucket_is_reported(aws):
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
    assert "does not exist" in aws.one("bucket", HOMEOSTAT_STORE="s3://no-such-bucket/store").sentence
    assert aws.one("store", HOMEOSTAT_STORE="s3://no-such-bucket/store").state == "broken"


def test_a_store_that_ignores_conditional_writes_is_a_warning(aws, monkeypatch):
    rewrite = Rewrite(drop=("If-None-Match",))
    with rewriting(boto3.client("s3").meta.endpoint_url, rewrite) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = aws.one("store")
        assert open_store(aws.store).list("doctor") == []
    assert found.state == "warning"
    assert "If-None-Match" in found.sentence


def test_waiting_triggers_dead_letters_and_wrong_queues_are_reported(aws):
    aws.sqs.send_message(
        QueueUrl=aws.queue, MessageBody="{}", MessageGroupId="pump", MessageDeduplicationId="1"
    )
    waiting = aws.one("trigger queue")
    assert waiting.state == "warning"
    assert "1 trigger waits" in waiting.sentence
    assert "consume_retrain_triggers" in waiting.remedy
    for n in range(2):
        aws.sqs.send_message(
            QueueUrl=aws.dead, MessageBody="?", MessageGroupId="pump", MessageDeduplicationId=str(n)
        )
    dead = aws.one("dead letters")
    assert dead.state == "broken"
    assert "2 triggers were not processed in 3 tries" in dead.sentence
    assert f"aws sqs receive-message --queue-url {aws.dead}" in dead.remedy
    aws.sqs.send_message(QueueUrl=aws.failures, MessageBody="{}")
    failed = aws.one("failed checks")
    assert "1 check failed in all retries" in failed.sentence
    assert "invoke the Lambda function for that window" in failed.remedy

    standard = aws.sqs.create_queue(QueueName=f"{aws.project}-standard")["QueueUrl"]
    assert "not a FIFO queue" in aws.one("trigger queue", HOMEOSTAT_TRIGGERS=standard).sentence
    fifo = aws.sqs.create_queue(QueueName=f"{aws.project}-bare.fifo", Attributes={"FifoQueue": "true"})
    assert "no redrive policy" in aws.one("trigger queue", HOMEOSTAT_TRIGGERS=fifo["QueueUrl"]).sentence
    gone = aws.queue.replace("triggers", "none")
    assert aws.one("trigger queue", HOMEOSTAT_TRIGGERS=gone).state == "broken"
    assert aws.one("dead letters", HOMEOSTAT_TRIGGERS=gone).state == "skipped"


def test_a_missing_or_differently_configured_lambda_function_is_reported(aws):
    assert aws.one("lambda function", HOMEOSTAT_PROJECT="another").state == "broken"
    aws.configure(HOMEOSTAT_STORE="s3://another/store")
    other = aws.one("lambda function")
    assert other.state == "broken"
    assert "HOMEOSTAT_STORE is s3://another/store in the function" in other.sentence
    aws.configure(HOMEOSTAT_IMAGE_DIGEST="latest")
    loose = aws.one("lambda function")
    assert loose.state == "warning"
    assert "digest" in loose.sentence


@pytest.mark.parametrize(
    ("changes", "state", "expected"),
    [
        ({"State": "DISABLED"}, "broken", "disabled"),
        ({"ScheduleExpression": "rate(2 hours)"}, "broken", "rate(2 hours) leaves up to 2 h"),
        ({"ScheduleExpression": "at(2030-01-01T00:00:00)"}, "warning", "is unknown"),
        ({"event": {"model": "pimp"}}, "broken", "without this model"),
        ({"arn": "arn:aws:lambda:us-east-1:123456789012:function:other"}, "broken", "another function"),
    ],
)
def test_a_wrong_schedule_is_reported(aws, changes, state, expected):
    aws.scheduler.update_schedule(**aws.schedule(**changes))
    found = aws.one("schedule")
    assert found.state == state
    assert expected in found.sentence


def test_a_missing_schedule_is_broken(aws):
    aws.scheduler.delete_schedule(GroupName=aws.project, Name="pump")
    found = aws.one("schedule")
    assert found.state == "broken"
    assert "terraform.tfvars" in found.remedy


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
def test_the_longest_gap_of_a_schedule_expression(expression, minutes):
    assert longest_gap(expression) == (None if minutes is None else timedelta(minutes=minutes))


def test_missing_or_old_model_state_is_broken(aws):
    aws.publish(ago=timedelta(hours=4))
    old = aws.one("model state")
    assert old.state == "broken"
    assert "published 4 h ago" in old.sentence
    open_store(aws.store).put("published/pump.json", b"{", overwrite=True)
    assert aws.one("model state").state == "broken"
    open_store(aws.store).delete("published/pump.json")
    missing = aws.one("model state")
    assert missing.state == "broken"
    assert "drift_check__pump" in missing.remedy


def test_wrong_clusters_and_task_definitions_are_reported(aws):
    here = {"HOMEOSTAT_IMAGE_DIGEST": "sha256:" + "e" * 64}
    other = aws.one("training task", env=here)
    assert other.state == "warning"
    assert "this process runs in image sha256:eeee" in other.sentence
    enforced = write_model(
        aws.home / "enforced",
        model_config(name="enforced", training={"runs_on": "ecs", "parity": "enforce"}),
    )
    found = aws.one("training task", env=here, config=enforced)
    assert "training.parity is enforce: enforced" in found.sentence
    aws.define(image=f"{ECR}-platform:latest")
    assert "a tag can move" in aws.one("training task").sentence
    aws.define(store="s3://another/store")
    assert "HOMEOSTAT_STORE is s3://another/store in the task" in aws.one("training task").sentence
    aws.define(name="other")
    assert "no container 'train'" in aws.one("training task").sentence
    none = aws.settings().ecs.model_copy(update={"cluster": "none", "task_definition": "none"})
    found = aws.check("training task", "cluster", HOMEOSTAT_ECS=none.model_dump_json())
    assert [check.state for check in found] == ["broken", "broken"]
