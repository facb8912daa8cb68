"""infra/terraform, applied to moto: every resource is as configured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from aws.clone import ROOT
from aws.docs_runner import MODELS, PROJECT
from homeostat.aws import lambda_metrics
from homeostat.config.fargate import Fargate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODULE = ROOT / "infra" / "terraform"


def test_the_code_is_formatted():
    if not shutil.which("terraform"):
        pytest.skip("terraform is not on PATH, so the format is not checked: install Terraform")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", "-diff", MODULE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", [".", "images"], ids=["root", "images"])
def test_the_code_is_valid_and_the_lock_file_unchanged(aws_stack, module):
    """``terraform init``, one of the steps, changed no tracked file."""
    found = json.loads(aws_stack.terraform("validate", "-json", within=module).stdout)
    assert found["valid"]
    assert found["diagnostics"] == []
    locked = MODULE / module / ".terraform.lock.hcl"
    assert (aws_stack.terraform.folder / module / locked.name).read_text() == locked.read_text()


def test_every_variable_and_output_is_described():
    for kind in ("variable", "output"):
        blocks = [
            (path.name, block)
            for path in MODULE.rglob(f"{kind}s.tf")
            for block in re.findall(rf'^{kind} "\w+" \{{.*?^\}}', path.read_text(), re.MULTILINE | re.DOTALL)
        ]
        assert len(blocks) > 3
        assert [block for block in blocks if "description" not in block[1]] == []


def test_wrong_values_are_refused_with_the_expected_form(aws_stack, tmp_path):
    wrong = {
        "project": "My Project",
        "models": {"bike demand": {}, "pump_fault": {"every": "7m"}},
        "detector_image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/homeostat-detector:latest",
        "artifact_lock_days": -1,
        "detector_concurrency": 0,
    }
    (tmp_path / "wrong.tfvars.json").write_text(json.dumps(wrong))
    arguments = ("plan", "-no-color", "-refresh=false", f"-var-file={tmp_path / 'wrong.tfvars.json'}")
    printed = " ".join(aws_stack.terraform(*arguments, expect=(1,)).stderr.replace("│", " ").split())
    for part in (
        "3 to 26 lower-case letters",
        'such as "bike_demand"',
        "every must be one of 10m, 12h, 15m",
        "A tag can move to another image, a digest cannot",
        "a whole number of days, or 0 for no lock",
        "with 0 no check runs",
    ):
        assert part in printed


def test_a_second_apply_changes_nothing(aws_stack):
    planned = aws_stack.terraform("plan", "-detailed-exitcode", "-no-color", expect=(0, 2))
    assert planned.returncode == 0, planned.stdout


@pytest.fixture(scope="module")
def changes(aws_stack):
    """Plan with one more model and without the lock; return address and change of each resource."""
    models = {name: {"every": every} for name, every in MODELS.items()} | {"churn": {"every": "24h"}}
    arguments = ("plan", "-no-color", "-refresh=false", "-detailed-exitcode", "-var=artifact_lock_days=0")
    printed = aws_stack.terraform(*arguments, f"-var=models={json.dumps(models)}", expect=(2,)).stdout
    return re.findall(r"# (\S+) (?:will|must) be (\w+)", printed)


def test_a_new_model_adds_a_schedule_and_an_alarm(changes):
    assert [address for address, change in changes if change == "created"] == [
        'aws_cloudwatch_metric_alarm.silence["churn"]',
        'aws_scheduler_schedule.check["churn"]',
    ]


def test_removing_the_lock_destroys_no_bucket(changes):
    assert [each for each in changes if each[1] not in {"created", "updated"}] == [
        ("aws_s3_bucket_object_lock_configuration.artifacts[0]", "destroyed")
    ]
    updated = {address for address, change in changes if change == "updated"}
    assert updated == {"aws_cloudwatch_dashboard.this"}  # it shows the new model


def test_buckets_are_versioned_encrypted_private_and_have_lifecycle_rules(aws_stack):
    s3 = aws_stack.client("s3")
    keys = set()
    for name in ("data_bucket", "artifact_bucket"):
        bucket = aws_stack.outputs[name]
        assert bucket.startswith(f"{PROJECT}-")
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert found["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        keys.add(found["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"])
        assert found["BucketKeyEnabled"]
        assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
        denied = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert [(each["Effect"], each["Condition"]) for each in denied] == [
            ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        ]
    kms = aws_stack.client("kms")
    assert [kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] for key in keys] == [True]

    rules = s3.get_bucket_lifecycle_configuration(Bucket=aws_stack.outputs["data_bucket"])["Rules"]
    logs = {each["ID"]: each for each in rules}["old-prediction-logs"]
    assert (logs["Filter"]["Prefix"], logs["Expiration"]["Days"]) == ("store/log/", 400)


def test_artifacts_have_object_lock_when_configured(aws_stack):
    s3 = aws_stack.client("s3")
    found = s3.get_object_lock_configuration(Bucket=aws_stack.outputs["artifact_bucket"])
    rule = found["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert (rule["Mode"], rule["Days"]) == ("GOVERNANCE", 30)


def test_the_trigger_queues_have_their_time_outs_and_dead_letter_queue(aws_stack):
    sqs = aws_stack.client("sqs")

    def attributes(output):
        return sqs.get_queue_attributes(QueueUrl=aws_stack.outputs[output], AttributeNames=["All"])[
            "Attributes"
        ]

    triggers, dead = attributes("trigger_queue_url"), attributes("dead_trigger_queue_url")
    assert triggers["QueueArn"].endswith(f":{PROJECT}-triggers.fifo")
    assert (triggers["VisibilityTimeout"], triggers["MessageRetentionPeriod"]) == ("3600", "86400")
    assert triggers["FifoQueue"] == dead["FifoQueue"] == "true"
    assert json.loads(triggers["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead["QueueArn"],
        "maxReceiveCount": 3,
    }
    for each in (triggers, dead, attributes("detector_failures_queue_url")):
        assert each["KmsMasterKeyId"]


def test_the_lambda_function_has_a_pinned_image_store_and_queue(aws_stack):
    functions = aws_stack.client("lambda")
    name = aws_stack.outputs["detector_function"]
    found = functions.get_function(FunctionName=name)
    settings = found["Configuration"]
    assert found["Code"]["ImageUri"].endswith(f"{PROJECT}-detector@{aws_stack.images['detector']}")
    assert (settings["PackageType"], settings["MemorySize"], settings["Timeout"]) == ("Image", 1024, 300)
    assert settings["Environment"]["Variables"] == {
        "HOMEOSTAT_PROJECT": PROJECT,
        "HOMEOSTAT_STORE": aws_stack.outputs["store"],
        "HOMEOSTAT_TRIGGERS": aws_stack.outputs["trigger_queue_url"],
        "HOMEOSTAT_IMAGE_DIGEST": aws_stack.images["detector"],
    }
    invoke_config = functions.get_function_event_invoke_config(FunctionName=name)
    assert invoke_config["MaximumRetryAttempts"] == 2
    assert invoke_config["DestinationConfig"]["OnFailure"]["Destination"].endswith(
        f":{PROJECT}-detector-failures"
    )


def test_every_model_has_a_schedule_with_the_window_end(aws_stack):
    scheduler = aws_stack.client("scheduler")
    group = aws_stack.outputs["schedule_group"]
    listed = scheduler.list_schedules(GroupName=group)["Schedules"]
    assert sorted(each["Name"] for each in listed) == sorted(MODELS)
    found = {name: scheduler.get_schedule(GroupName=group, Name=name) for name in MODELS}
    assert found["bike_demand"]["ScheduleExpression"] == "cron(0 * * * ? *)"
    assert found["pump_fault"]["ScheduleExpression"] == "cron(0/15 * * * ? *)"
    for name, each in found.items():
        assert each["State"] == "ENABLED"
        # EventBridge requires these literal characters; JSON would allow escapes.
        assert (
            each["Target"]["Input"] == f'{{"model":"{name}","window_end":"<aws.scheduler.scheduled-time>"}}'
        )
        assert each["Target"]["DeadLetterConfig"]["Arn"].endswith(f":{PROJECT}-detector-failures")
        assert each["Target"]["Arn"].endswith(f":function:{PROJECT}-detector")


def test_the_fargate_task_has_a_pinned_image_and_matches_airflows_environment(aws_stack):
    airflow = aws_stack.outputs["airflow_environment"]
    ecs = Fargate.from_json(airflow["HOMEOSTAT_ECS"])
    task = aws_stack.client("ecs").describe_task_definition(taskDefinition=ecs.task_definition)[
        "taskDefinition"
    ]
    assert (task["cpu"], task["memory"], task["networkMode"]) == ("4096", "16384", "awsvpc")
    assert task["requiresCompatibilities"] == ["FARGATE"]
    (container,) = task["containerDefinitions"]
    assert container["name"] == ecs.container
    assert container["memory"] == 16384
    assert container["image"].endswith(f"{PROJECT}-platform@{aws_stack.images['training']}")
    assert container["logConfiguration"]["options"]["awslogs-group"] == ecs.log_group
    environment = {each["name"]: each["value"] for each in container["environment"]}
    assert environment["HOMEOSTAT_STORE"] == airflow["HOMEOSTAT_STORE"]
    assert environment["HOMEOSTAT_IMAGE_DIGEST"] == aws_stack.images["training"]
    (group,) = aws_stack.client("ec2").describe_security_groups(GroupIds=list(ecs.security_groups))[
        "SecurityGroups"
    ]
    assert group["IpPermissions"] == []  # no incoming connections
    assert [each["FromPort"] for each in group["IpPermissionsEgress"]] == [443]


def test_a_task_starts_in_the_network_of_airflows_environment(aws_stack):
    ecs = Fargate.from_json(aws_stack.outputs["airflow_environment"]["HOMEOSTAT_ECS"])
    network = {"subnets": list(ecs.subnets), "securityGroups": list(ecs.security_groups)}
    client = aws_stack.client("ecs")
    started = client.run_task(
        cluster=ecs.cluster,
        taskDefinition=ecs.task_definition,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )
    assert started["failures"] == []
    client.stop_task(cluster=ecs.cluster, task=started["tasks"][0]["taskArn"])


def test_errors_dead_letters_old_triggers_and_stopped_checks_raise_alarms(aws_stack):
    watch = aws_stack.client("cloudwatch")
    alarms = {each["AlarmName"]: each for each in watch.describe_alarms()["MetricAlarms"]}
    assert sorted(alarms) == [
        f"{PROJECT}-{name}"
        for name in (
            "detector-errors",
            "detector-failures",
            "oldest-trigger",
            "silence-bike_demand",
            "silence-pump_fault",
            "triggers-dead",
        )
    ]
    for name, seconds in (("bike_demand", 3600), ("pump_fault", 900)):
        silence = alarms[f"{PROJECT}-silence-{name}"]
        assert (silence["Period"], silence["EvaluationPeriods"]) == (seconds, 3)
        assert (silence["Threshold"], silence["ComparisonOperator"]) == (1, "LessThanThreshold")
        assert silence["TreatMissingData"] == "breaching"
        # The metric that the Lambda function logs.
        assert silence["Namespace"] == lambda_metrics.NAMESPACE
        assert silence["MetricName"] in lambda_metrics.UNITS
        assert {each["Name"] for each in silence["Dimensions"]} == set(lambda_metrics.DIMENSIONS)


def test_logs_have_a_retention_and_are_encrypted(aws_stack):
    logs = aws_stack.client("logs")
    groups = {each["logGroupName"]: each for each in logs.describe_log_groups()["logGroups"]}
    for name in aws_stack.outputs["log_groups"].values():
        assert groups[name]["retentionInDays"] == 90
        assert groups[name]["kmsKeyId"]


def test_the_dashboard_shows_every_model(aws_stack):
    watch = aws_stack.client("cloudwatch")
    body = watch.get_dashboard(DashboardName=aws_stack.outputs["dashboard"])["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    assert len({(each["x"], each["y"]) for each in widgets}) == len(widgets)
    assert {model for model in MODELS if f'"{model}"' in body} == set(MODELS)


def test_teardown_leaves_nothing(aws_stack, aws_deployment):
    """Runs after every other test of the session: see conftest.py."""
    steps = aws_deployment.teardown()
    assert re.search(r"Apply complete! Resources: 0 added, 2 changed, 0 destroyed", steps[0].output), (
        "two buckets"
    )
    assert all("Enter a value:" in step.output for step in steps)
    assert aws_stack.terraform.state() == aws_stack.terraform.state(within="images") == []
    left = {each["Name"] for each in aws_stack.client("s3").list_buckets()["Buckets"]}
    left |= set(aws_stack.client("sqs").list_queues().get("QueueUrls", []))
    left |= {each["RoleName"] for each in aws_stack.client("iam").list_roles()["Roles"]}
    left |= {each["FunctionName"] for each in aws_stack.client("lambda").list_functions()["Functions"]}
    left |= {
        each["repositoryName"] for each in aws_stack.client("ecr").describe_repositories()["repositories"]
    }
    assert {name for name in left if PROJECT in name} == set()
