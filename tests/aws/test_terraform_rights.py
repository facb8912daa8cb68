"""Every part may do what it does, and not what another does: read from the policies as they were applied."""

from __future__ import annotations

import pytest

from aws.policies import allows, statements
from homeostat.config.fargate import Fargate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROJECT = "homeostat-test"
GET, PUT, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"

#: Part, action, key in the store, whether it may.
RIGHTS = [
    ("detector", GET, "log/pump/predictions/date=2026-01-05/hour=07/a-1.parquet", True),
    ("detector", GET, "published/pump.json", True),
    ("detector", GET, "standing/pump.json", True),
    ("detector", GET, "versions/pump/ab12.json", True),
    ("detector", GET, "bundles/pump/ab12/reference.bin", True),
    ("detector", GET, "bundles/pump/ab12/model.skops", False),
    ("detector", GET, "snapshots/pump/ab12.parquet", False),
    ("detector", PUT, "history/pump/2026-01/2026-01-05T070000/record.json", True),
    ("detector", PUT, "profiles/pump/ab12/2026-01-05T070000.bin", True),
    ("detector", PUT, "reports/pump/2026-01-05T070000.json", True),
    ("detector", PUT, "triggers/pump/2026-01-05T070000.json", True),
    ("detector", PUT, "notices/pump/a.json", True),
    ("detector", PUT, "published/pump.json", False),
    ("detector", PUT, "log/pump/predictions/a.parquet", False),
    ("detector", PUT, "bundles/pump/ab12/reference.bin", False),
    ("detector", DELETE, "history/pump/2026-01/2026-01-05T070000.json", False),
    ("task", GET, "snapshots/pump/ab12.parquet", True),
    ("task", GET, "retrain/pump/key/assemble.json", True),
    ("task", GET, "versions/pump/ab12.json", True),
    ("task", PUT, "bundles/pump/ab12/model.skops", True),
    ("task", PUT, "retrain/pump/key/train.json", True),
    ("task", PUT, "quarantine/pump/ab12.parquet", True),
    ("task", DELETE, "bundles/pump/ab12/model.skops", True),
    ("task", PUT, "snapshots/pump/ab12.parquet", False),
    ("task", PUT, "versions/pump/ab12.json", False),
    ("task", PUT, "published/pump.json", False),
    ("task", DELETE, "retrain/pump/key/train.json", False),
    ("gateway", GET, "bundles/pump/ab12/model.skops", True),
    ("gateway", PUT, "log/pump/predictions/a.parquet", True),
    ("gateway", PUT, "quarantine/pump/labels/a-00000001.json", True),
    ("gateway", PUT, "bundles/pump/ab12/model.skops", False),
    ("gateway", GET, "snapshots/pump/ab12.parquet", False),
    ("gateway", DELETE, "log/pump/predictions/a.parquet", False),
    ("airflow", PUT, "published/pump.json", True),
    ("airflow", DELETE, "notices/pump/a.json", True),
    ("scheduler", GET, "log/pump/predictions/a.parquet", False),
    ("task-execution", GET, "snapshots/pump/ab12.parquet", False),
]


@pytest.fixture(scope="module")
def policies(aws_stack):
    """Every policy by its part, as IAM holds it."""
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


@pytest.mark.parametrize(("part", "action", "key", "may"), RIGHTS)
def test_a_part_reaches_its_own_folders_of_the_store(policies, aws_stack, part, action, key, may):
    bucket, _, prefix = aws_stack.outputs["store"].removeprefix("s3://").partition("/")
    assert allows(policies[part], action, f"arn:aws:s3:::{bucket}/{prefix}/{key}") is may


@pytest.mark.parametrize("part", ["detector", "task", "gateway", "airflow"])
def test_who_uses_the_store_may_list_it_so_that_what_is_missing_is_not_forbidden(policies, aws_stack, part):
    bucket = f"arn:aws:s3:::{aws_stack.outputs['data_bucket']}"
    assert allows(policies[part], "s3:ListBucket", bucket)
    assert [
        each
        for each in policies[part]["Statement"]
        if "s3:ListBucket" in each["Action"] and "Condition" in each
    ] == []


def test_nobody_reaches_beyond_the_store_or_into_the_others_bucket(policies, aws_stack):
    data, artifacts = aws_stack.outputs["data_bucket"], aws_stack.outputs["artifact_bucket"]
    outside = {part for part in policies if allows(policies[part], PUT, f"arn:aws:s3:::{data}/elsewhere/x")}
    assert outside == set()
    reach = {part for part in policies if allows(policies[part], GET, f"arn:aws:s3:::{artifacts}/mlflow/x")}
    assert reach == {"mlflow"}


def test_only_the_detector_sends_triggers_and_only_airflow_takes_them(policies, aws_stack):
    queue = f"arn:aws:sqs:eu-central-1:123456789012:{PROJECT}-triggers.fifo"
    for action, whose in (
        ("sqs:SendMessage", {"detector"}),
        ("sqs:ReceiveMessage", {"airflow"}),
        ("sqs:DeleteMessage", {"airflow"}),
        ("sqs:ChangeMessageVisibility", {"airflow"}),
        ("sqs:PurgeQueue", set()),
    ):
        assert {part for part in policies if allows(policies[part], action, queue)} == whose


def test_only_the_scheduler_starts_checks(policies, aws_stack):
    function = f"arn:aws:lambda:eu-central-1:123456789012:function:{PROJECT}-detector"
    assert {part for part in policies if allows(policies[part], "lambda:InvokeFunction", function)} == {
        "scheduler"
    }


def test_airflow_runs_this_task_definition_and_lends_it_no_other_role(policies, aws_stack):
    ecs = Fargate.from_json(aws_stack.outputs["airflow_environment"]["HOMEOSTAT_ECS"])
    described = aws_stack.client("ecs").describe_task_definition(taskDefinition=ecs.task_definition)
    task = described["taskDefinition"]
    airflow = policies["airflow"]
    assert allows(airflow, "ecs:RunTask", task["taskDefinitionArn"])
    assert not allows(airflow, "ecs:RunTask", task["taskDefinitionArn"].replace("-train:", "-other:"))
    assert allows(airflow, "iam:PassRole", task["taskRoleArn"])
    assert allows(airflow, "iam:PassRole", task["executionRoleArn"])
    assert not allows(airflow, "iam:PassRole", f"arn:aws:iam::123456789012:role/{PROJECT}-detector")


def test_stars_stand_alone_only_where_aws_knows_no_resource(policies):
    alone = {
        (part, action)
        for part, policy in policies.items()
        for _, actions, resources in statements(policy)
        for action in actions
        if "*" in resources
    }
    assert alone == {
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
