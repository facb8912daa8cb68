# Permissions: a role for each of the four parts on AWS, and three policies to attach to the roles of other services.
#
#                    store (folders of the data bucket)               and
#   Lambda function  reads log, published, bundles' references ...    sends triggers
#   scheduler                                                         invokes the Lambda function
#   task execution                                                    pulls the image, writes the log
#   task             reads snapshots, writes bundles
#   airflow          reads and writes all                             receives triggers, runs training tasks
#   gateway          reads bundles, writes the log
#   mlflow                                                            its own bucket

locals {
  tasks = "arn:${local.partition}:ecs:${var.region}:${local.account}:task/${aws_ecs_cluster.this.name}"
}

# Required for reading or writing the store.
data "aws_iam_policy_document" "reach_store" {
  statement {
    sid = "FindInStore"
    # The whole bucket, but only the names of its keys. With a condition on s3:prefix, S3 would return "forbidden"
    # instead of "not found" for a missing object, since a read of one object has no prefix.
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this["data"].arn]
  }

  source_policy_documents = [data.aws_iam_policy_document.use_key.json]
}

# Required for reading or writing encrypted data.
data "aws_iam_policy_document" "use_key" {
  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

# --- drift-check Lambda function

resource "aws_iam_role" "detector" {
  name               = local.detector
  description        = "The drift-check Lambda function."
  assume_role_policy = data.aws_iam_policy_document.trust_lambda.json
}

resource "aws_iam_role_policy" "detector" {
  name   = "detector"
  role   = aws_iam_role.detector.id
  policy = data.aws_iam_policy_document.detector.json
}

data "aws_iam_policy_document" "trust_lambda" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "detector" {
  #checkov:skip=CKV_AWS_111:X-Ray has no resources; every other statement names its resources
  #checkov:skip=CKV_AWS_356:X-Ray has no resources; every other statement names its resources
  source_policy_documents = [data.aws_iam_policy_document.reach_store.json]

  statement {
    sid     = "ReadCheckInputs"
    actions = ["s3:GetObject"]
    resources = concat(
      [for folder in ["log", "published", "standing", "versions"] : "${local.store}/${folder}/*"],
      ["${local.store}/bundles/*/reference.bin"], # of every version, without the model itself
    )
  }

  statement {
    sid       = "WriteRecords"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = [for folder in ["history", "notices", "outcomes", "profiles", "triggers"] : "${local.store}/${folder}/*"]
  }

  statement {
    sid       = "WriteReports"
    actions   = ["s3:PutObject"]
    resources = ["${local.store}/reports/*"]
  }

  statement {
    sid       = "SendTriggersAndFailures"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.triggers.arn, aws_sqs_queue.detector_failures.arn]
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this["detector"].arn}:*"] # log streams: Lambda creates one per container
  }

  statement {
    sid       = "Trace"
    actions   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"] # X-Ray has no resources
  }
}

# --- scheduler

resource "aws_iam_role" "scheduler" {
  name               = "${var.project}-scheduler"
  description        = "EventBridge schedules, one per model."
  assume_role_policy = data.aws_iam_policy_document.trust_scheduler.json
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "scheduler"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

data "aws_iam_policy_document" "trust_scheduler" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_scheduler_schedule_group.this.arn]
    }
  }
}

data "aws_iam_policy_document" "scheduler" {
  source_policy_documents = [data.aws_iam_policy_document.use_key.json]

  statement {
    sid       = "StartChecks"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.detector.arn]
  }

  statement {
    sid       = "SendUndeliveredEvents"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.detector_failures.arn]
  }
}

# --- training: the execution role of ECS, and the role of the task

resource "aws_iam_role" "task_execution" {
  name               = "${var.project}-task-execution"
  description        = "ECS, to start a training task: image, log, secrets."
  assume_role_policy = data.aws_iam_policy_document.trust_ecs.json
}

resource "aws_iam_role_policy" "task_execution" {
  name   = "task-execution"
  role   = aws_iam_role.task_execution.id
  policy = data.aws_iam_policy_document.task_execution.json
}

resource "aws_iam_role" "task" {
  name               = "${var.project}-task"
  description        = "The train step."
  assume_role_policy = data.aws_iam_policy_document.trust_ecs.json
}

resource "aws_iam_role_policy" "task" {
  name   = "task"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

data "aws_iam_policy_document" "trust_ecs" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

locals {
  # <account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:...
  training_image      = regex("^(?P<account>[0-9]+)\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.[^/]+/(?P<name>[^@]+)@", var.training_image)
  training_repository = "arn:${local.partition}:ecr:${local.training_image.region}:${local.training_image.account}:repository/${local.training_image.name}"

  # The ARN may name a key, a stage and a version after the secret: permissions are for the secret.
  training_secrets = distinct([for arn in values(var.training_secrets) : join(":", slice(split(":", arn), 0, 7))])
}

data "aws_iam_policy_document" "task_execution" {
  statement {
    sid       = "SignInToECR"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # a token is for the registry, which has no ARN
  }

  statement {
    sid       = "PullImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [local.training_repository]
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this["train"].arn}:*"] # log streams: ECS creates one per task
  }

  dynamic "statement" {
    for_each = length(local.training_secrets) > 0 ? [local.training_secrets] : []

    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
}

data "aws_iam_policy_document" "task" {
  source_policy_documents = [data.aws_iam_policy_document.reach_store.json]

  statement {
    sid       = "ReadTrainingData"
    actions   = ["s3:GetObject"]
    resources = [for folder in ["snapshots", "versions"] : "${local.store}/${folder}/*"]
  }

  statement {
    sid       = "WriteBundles"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = [for folder in ["bundles", "retrain"] : "${local.store}/${folder}/*"]
  }

  statement {
    sid       = "DeletePartialBundles"
    actions   = ["s3:DeleteObject"] # adds a delete marker; old versions remain
    resources = ["${local.store}/bundles/*"]
  }
}

# --- Airflow

resource "aws_iam_policy" "airflow" {
  name        = "${var.project}-airflow"
  description = "For the workers, the triggerer and the scheduler of Airflow: the store, the triggers, training tasks, and homeostat doctor."
  policy      = data.aws_iam_policy_document.airflow.json
}

data "aws_iam_policy_document" "airflow" {
  #checkov:skip=CKV_AWS_356:listings of tasks and schedules have no resources; a condition limits the tasks to the cluster
  source_policy_documents = [data.aws_iam_policy_document.reach_store.json]

  statement {
    sid       = "UseStore"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${local.store}/*"] # Airflow's DAGs use every folder of the store
  }

  statement {
    sid = "ReceiveTriggers"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ReceiveMessage",
    ]
    resources = [aws_sqs_queue.triggers.arn]
  }

  statement {
    sid       = "CountFailures"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    resources = [aws_sqs_queue.triggers_dead.arn, aws_sqs_queue.detector_failures.arn]
  }

  statement {
    sid       = "StartTraining"
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.train.arn_without_revision}:*"] # every revision of this task definition

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "TagTraining"
    actions   = ["ecs:TagResource"]
    resources = ["${local.tasks}/*"] # tasks of this cluster; their ids are generated at start

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "WatchTraining"
    actions   = ["ecs:DescribeTasks", "ecs:StopTask"]
    resources = ["${local.tasks}/*"] # tasks of this cluster; their ids are generated at start

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "ListTraining"
    actions   = ["ecs:ListTasks"]
    resources = ["*"] # on Fargate a listing has no resource; the condition limits it to the cluster

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "PassRolesToTraining"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.task.arn, aws_iam_role.task_execution.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "ReadTrainingLog"
    actions   = ["logs:DescribeLogStreams", "logs:GetLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this["train"].arn}:*"] # log streams: ECS creates one per task
  }

  # Additional permissions for `homeostat doctor`.
  statement {
    sid       = "CheckBuckets"
    actions   = ["s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning", "s3:GetEncryptionConfiguration"]
    resources = [aws_s3_bucket.this["data"].arn]
  }

  statement {
    sid       = "CheckLambdaFunction"
    actions   = ["lambda:GetFunctionConfiguration"]
    resources = [aws_lambda_function.detector.arn]
  }

  statement {
    sid       = "CheckSchedules"
    actions   = ["scheduler:GetSchedule"]
    resources = ["arn:${local.partition}:scheduler:${var.region}:${local.account}:schedule/${aws_scheduler_schedule_group.this.name}/*"] # every model's schedule
  }

  statement {
    sid       = "ListSchedules"
    actions   = ["scheduler:ListSchedules"]
    resources = ["*"] # listings have no resource
  }

  statement {
    sid       = "CheckCluster"
    actions   = ["ecs:DescribeClusters"]
    resources = [aws_ecs_cluster.this.arn]
  }

  statement {
    sid       = "CheckTaskDefinition"
    actions   = ["ecs:DescribeTaskDefinition"]
    resources = ["*"] # this action has no resource in ECS
  }
}

# --- gateways and MLflow

resource "aws_iam_policy" "gateway" {
  name        = "${var.project}-gateway"
  description = "For gateways: bundles, the prediction log, and notices."
  policy      = data.aws_iam_policy_document.gateway.json
}

data "aws_iam_policy_document" "gateway" {
  source_policy_documents = [data.aws_iam_policy_document.reach_store.json]

  statement {
    sid       = "LoadBundles"
    actions   = ["s3:GetObject"]
    resources = ["${local.store}/bundles/*"]
  }

  statement {
    sid       = "WriteLog"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = [for folder in ["log", "quarantine"] : "${local.store}/${folder}/*"]
  }

  statement {
    sid       = "LeaveNotices"
    actions   = ["s3:PutObject"]
    resources = ["${local.store}/notices/*"]
  }

  statement {
    sid       = "SendNotices"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = [for folder in ["notices_outbox", "notices_sent"] : "${local.store}/${folder}/*"]
  }
}

resource "aws_iam_policy" "mlflow" {
  name        = "${var.project}-mlflow"
  description = "For the MLflow server: its artifacts."
  policy      = data.aws_iam_policy_document.mlflow.json
}

data "aws_iam_policy_document" "mlflow" {
  source_policy_documents = [data.aws_iam_policy_document.use_key.json]

  statement {
    sid       = "ListArtifacts"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this["artifacts"].arn]
  }

  statement {
    sid       = "UseArtifacts"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this["artifacts"].arn}/mlflow/*"]
  }
}
