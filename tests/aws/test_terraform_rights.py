"""Every part has the permissions that it needs and no others, read from the applied policies."""

from __future__ import annotations

import pytest

from aws.docs_runner import PROJECT
from aws.policies import allows, statements, statements_of
from homeostat.config.fargate import Fargate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GET, PUT, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"

#: Part, action, key in the store, allowed.
PERMISSIONS = [
    ("detector", GET, "log/pump/predictions/date=2026-01-05/hour=07/a-1.parquet", True),
    ("detector", GET, "published/pump.json", True),
    ("detector", GET, "standing/pump.json", True),
    ("detector", GET, "versions/pump/ab12.json", True),
    ("detector", GET, "bundles/pump/ab12/reference.bin", True),
    ("detector", GET, "bundles/pump/ab12/model.skops", False),
    ("detector", GET, "snapshots/pump/ab12.parquet", False),
    ("detector", PUT, "history/pump/2026-01/2026-01-05T070000/record.json", True),
    ("detector", PUT, "profiles/pump/ab12/2026-01-05T070000.bin", True),
    ("detector", GET, "profiles/pump/ab12/2026-01-05T070000.bin", True),
    ("detector", GET, "outcomes/pump/ab12/2026-01-05T070000.json", True),
    ("detector", PUT, "outcomes/pump/ab12/2026-01-05T070000.json", True),
    ("detector", GET, "history/pump/2026-01/2026-01-05T070000.json", True),
    ("detector", GET, "triggers/pump/2026-01-05T070000.json", True),
    ("detector", PUT, "reports/pump/2026-01-05T070000.json", True),
    ("detector", GET, "reports/pump/2026-01-05T070000.json", False),
    ("detector", PUT, "triggers/pump/2026-01-05T070000.json", True),
    ("detector", PUT, "notices/pump/a.json", True),
    ("detector", GET, "notices/pump/a.json", True),
    ("detector", GET, "collected/pump.json", False),
    ("detector", GET, "retrain/pump/key/train.json", False),
    ("detector", PUT, "published/pump.json", False),
    ("detector", PUT, "standing/pump.json", False),
    ("detector", PUT, "log/pump/predictions/a.parquet", False),
    ("detector", PUT, "bundles/pump/ab12/reference.bin", False),
    ("detector", DELETE, "history/pump/2026-01/2026-01-05T070000.json", False),
    ("task", GET, "snapshots/pump/ab12.parquet", True),
    ("task", GET, "retrain/pump/key/assemble.json", True),
    ("task", GET, "versions/pump/ab12.json", True),
    ("task", PUT, "bundles/pump/ab12/model.skops", True),
    ("task", PUT, "retrain/pump/key/train.json", True),
    ("task", GET, "bundles/pump/ab12/manifest.json", True),
    ("task", GET, "log/pump/predictions/a.parquet", False),
    ("task", PUT, "quarantine/pump/ab12.parquet", False),
    ("task", DELETE, "bundles/pump/ab12/model.skops", True),
    ("task", PUT, "snapshots/pump/ab12.parquet", False),
    ("task", PUT, "versions/pump/ab12.json", False),
    ("task", PUT, "published/pump.json", False),
    ("task", DELETE, "retrain/pump/key/train.json", False),
    ("gateway", GET, "bundles/pump/ab12/model.skops", True),
    ("gateway", PUT, "log/pump/predictions/a.parquet", True),
    ("gateway", GET, "log/pump/labels/a.parquet", True),
    ("gateway", GET, "quarantine/pump/labels/a-00000001.json", True),
    ("gateway", PUT, "quarantine/pump/labels/a-00000001.json", True),
    ("gateway", PUT, "notices/pump/a.json", True),
    ("gateway", PUT, "notices_outbox/pump/ab12/1.json", True),
    ("gateway", DELETE, "notices_outbox/pump/ab12/message.json", True),
    ("gateway", GET, "notices_sent/pump.json", True),
    ("gateway", PUT, "bundles/pump/ab12/model.skops", False),
    ("gateway", GET, "snapshots/pump/ab12.parquet", False),
    ("gateway", DELETE, "log/pump/predictions/a.parquet", False),
    ("airflow", PUT, "published/pump.json", True),
    ("airflow", DELETE, "notices/pump/a.json", True),
    ("airflow", PUT, "collected/pump.json", True),
    ("scheduler", GET, "log/pump/predictions/a.parquet", False),
    ("task-execution", GET, "snapshots/pump/ab12.parquet", False),
]


@pytest.fixture(scope="module")
def policies(aws_stack):
    """Return every policy in IAM by part."""
    iam = aws_stack.client("iam")
    found = {}
    for part in ("detector", "scheduler", "task", "task-execution"):
        role = f"{PROJECT}-{part}"
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        found[part] = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    for part in ("airflow", "gateway", "mlflow"):
        arn = aws_stack.outputs[f"{part}_policy_arn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        held = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        found[part] = held["PolicyVersion"]["Document"]
    return found


@pytest.mark.parametrize(("part", "action", "key", "allowed"), PERMISSIONS)
def test_a_part_can_access_only_its_folders_of_the_store(policies, aws_stack, part, action, key, allowed):
    bucket, _, prefix = aws_stack.outputs["store"].removeprefix("s3://").partition("/")
    assert allows(policies[part], action, f"arn:aws:s3:::{bucket}/{prefix}/{key}") is allowed


@pytest.mark.parametrize("part", ["detector", "task", "gateway", "airflow"])
def test_users_of_the_store_may_list_it_so_that_missing_keys_are_not_forbidden(policies, aws_stack, part):
    bucket = f"arn:aws:s3:::{aws_stack.outputs['data_bucket']}"
    assert allows(policies[part], "s3:ListBucket", bucket)
    assert [
        each
        for each in policies[part]["Statement"]
        if "s3:ListBucket" in each["Action"] and "Condition" in each
    ] == []


def test_no_part_can_access_other_folders_or_the_other_bucket(policies, aws_stack):
    data, artifacts = aws_stack.outputs["data_bucket"], aws_stack.outputs["artifact_bucket"]
    outside = {part for part in policies if allows(policies[part], PUT, f"arn:aws:s3:::{data}/elsewhere/x")}
    assert outside == set()
    readers = {part for part in policies if allows(policies[part], GET, f"arn:aws:s3:::{artifacts}/mlflow/x")}
    assert readers == {"mlflow"}


def test_only_the_lambda_function_sends_triggers_and_only_airflow_receives_them(policies, aws_stack):
    queue = f"arn:aws:sqs:eu-central-1:123456789012:{PROJECT}-triggers.fifo"
    for action, parts in (
        ("sqs:SendMessage", {"detector"}),
        ("sqs:ReceiveMessage", {"airflow"}),
        ("sqs:DeleteMessage", {"airflow"}),
        ("sqs:ChangeMessageVisibility", {"airflow"}),
        ("sqs:PurgeQueue", set()),
    ):
        assert {part for part in policies if allows(policies[part], action, queue)} == parts


def test_only_the_scheduler_starts_checks(policies, aws_stack):
    function = f"arn:aws:lambda:eu-central-1:123456789012:function:{PROJECT}-detector"
    assert {part for part in policies if allows(policies[part], "lambda:InvokeFunction", function)} == {
        "scheduler"
    }


def test_airflow_runs_only_this_task_definition_and_passes_only_its_roles(policies, aws_stack):
    ecs = Fargate.from_json(aws_stack.outputs["airflow_environment"]["HOMEOSTAT_ECS"])
    described = aws_stack.client("ecs").describe_task_definition(taskDefinition=ecs.task_definition)
    task = described["taskDefinition"]
    airflow = policies["airflow"]
    assert allows(airflow, "ecs:RunTask", task["taskDefinitionArn"])
    assert not allows(airflow, "ecs:RunTask", task["taskDefinitionArn"].replace("-train:", "-other:"))
    assert allows(airflow, "iam:PassRole", task["taskRoleArn"])
    assert allows(airflow, "iam:PassRole", task["executionRoleArn"])
    assert not allows(airflow, "iam:PassRole", f"arn:aws:iam::123456789012:role/{PROJECT}-detector")


def test_airflow_describes_stops_and_lists_tasks_of_this_cluster_only(policies, aws_stack):
    task = f"arn:aws:ecs:eu-central-1:123456789012:task/{PROJECT}/0123456789abcdef"
    own = aws_stack.client("ecs").describe_clusters(clusters=[PROJECT])["clusters"][0]["clusterArn"]
    for action in ("ecs:DescribeTasks", "ecs:StopTask"):
        assert allows(policies["airflow"], action, task)
        assert not allows(policies["airflow"], action, task.replace(f"/{PROJECT}/", "/another/"))
    for action in ("ecs:DescribeTasks", "ecs:ListTasks", "ecs:RunTask", "ecs:StopTask"):
        (statement,) = statements_of(policies["airflow"], action)
        assert statement["Condition"] == {"ArnEquals": {"ecs:cluster": own}}


def test_airflow_may_tag_tasks_only_at_their_start(policies):
    task = f"arn:aws:ecs:eu-central-1:123456789012:task/{PROJECT}/0123456789abcdef"
    airflow = policies["airflow"]
    assert allows(airflow, "ecs:TagResource", task)
    for other in (
        task.replace(f"/{PROJECT}/", "/another/"),
        f"arn:aws:ecs:eu-central-1:123456789012:cluster/{PROJECT}",
        f"arn:aws:ecs:eu-central-1:123456789012:task-definition/{PROJECT}-train:1",
    ):
        assert not allows(airflow, "ecs:TagResource", other)
    (statement,) = statements_of(airflow, "ecs:TagResource")
    assert statement["Condition"] == {"StringEquals": {"ecs:CreateAction": "RunTask"}}
    assert [
        part for part in policies if part != "airflow" and statements_of(policies[part], "ecs:TagResource")
    ] == []


def test_parts_that_use_encrypted_data_may_use_the_key(policies, aws_stack):
    keys = aws_stack.client("kms").list_aliases()["Aliases"]
    (key,) = (each["TargetKeyId"] for each in keys if each["AliasName"] == f"alias/{PROJECT}")
    arn = f"arn:aws:kms:eu-central-1:123456789012:key/{key}"
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        allowed = {part for part in policies if allows(policies[part], action, arn)}
        assert allowed == set(policies) - {"task-execution"}


def test_airflows_policy_allows_every_check_of_the_doctor(policies, aws_stack):
    out, airflow = aws_stack.outputs, policies["airflow"]
    region_and_account = "eu-central-1:123456789012"
    for action, resource in (
        ("s3:GetBucketVersioning", f"arn:aws:s3:::{out['data_bucket']}"),
        ("s3:GetEncryptionConfiguration", f"arn:aws:s3:::{out['data_bucket']}"),
        ("s3:GetBucketPublicAccessBlock", f"arn:aws:s3:::{out['data_bucket']}"),
        ("sqs:GetQueueAttributes", f"arn:aws:sqs:{region_and_account}:{PROJECT}-triggers.fifo"),
        ("sqs:GetQueueUrl", f"arn:aws:sqs:{region_and_account}:{PROJECT}-triggers-dead.fifo"),
        ("sqs:GetQueueAttributes", f"arn:aws:sqs:{region_and_account}:{PROJECT}-detector-failures"),
        (
            "lambda:GetFunctionConfiguration",
            f"arn:aws:lambda:{region_and_account}:function:{PROJECT}-detector",
        ),
        ("scheduler:GetSchedule", f"arn:aws:scheduler:{region_and_account}:schedule/{PROJECT}/bike_demand"),
        ("ecs:DescribeClusters", f"arn:aws:ecs:{region_and_account}:cluster/{PROJECT}"),
        ("ecs:DescribeTaskDefinition", f"arn:aws:ecs:{region_and_account}:task-definition/{PROJECT}-train:1"),
    ):
        assert allows(airflow, action, resource), action


def test_wildcard_resources_only_for_actions_without_resources(policies):
    wildcards = {
        (part, action)
        for part, policy in policies.items()
        for _, actions, resources in statements(policy)
        for action in actions
        if "*" in resources
    }
    assert wildcards == {
        ("airflow", "ecs:DescribeTaskDefinition"),
        ("airflow", "ecs:ListTasks"),
        ("airflow", "scheduler:ListSchedules"),
        ("detector", "xray:PutTelemetryRecords"),
        ("detector", "xray:PutTraceSegments"),
        ("task-execution", "ecr:GetAuthorizationToken"),
    }
    assert [
        (part, action)
        for part, policy in policies.items()
        for _, actions, _ in statements(policy)
        for action in actions
        if "*" in action
    ] == []
