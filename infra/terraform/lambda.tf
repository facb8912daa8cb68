# The drift-check Lambda function, one for all models, and one schedule per model.

locals {
  # monitor.every of model.yaml: the schedule and the period in seconds. Windows end at multiples of the period.
  schedules = {
    "5m"  = { cron = "cron(0/5 * * * ? *)", seconds = 300 }
    "10m" = { cron = "cron(0/10 * * * ? *)", seconds = 600 }
    "15m" = { cron = "cron(0/15 * * * ? *)", seconds = 900 }
    "20m" = { cron = "cron(0/20 * * * ? *)", seconds = 1200 }
    "30m" = { cron = "cron(0/30 * * * ? *)", seconds = 1800 }
    "1h"  = { cron = "cron(0 * * * ? *)", seconds = 3600 }
    "2h"  = { cron = "cron(0 0/2 * * ? *)", seconds = 7200 }
    "3h"  = { cron = "cron(0 0/3 * * ? *)", seconds = 10800 }
    "4h"  = { cron = "cron(0 0/4 * * ? *)", seconds = 14400 }
    "6h"  = { cron = "cron(0 0/6 * * ? *)", seconds = 21600 }
    "8h"  = { cron = "cron(0 0/8 * * ? *)", seconds = 28800 }
    "12h" = { cron = "cron(0 0/12 * * ? *)", seconds = 43200 }
    "24h" = { cron = "cron(0 0 * * ? *)", seconds = 86400 }
    "1d"  = { cron = "cron(0 0 * * ? *)", seconds = 86400 }
  }

  detector     = "${var.project}-detector"
  store_uri    = "s3://${aws_s3_bucket.this["data"].bucket}/${var.store_prefix}"
  max_attempts = 2
  max_age_s    = 3600 # by then the next check is due
}

resource "aws_lambda_function" "detector" {
  #checkov:skip=CKV_AWS_116:failed events go to a destination, with the error: aws_lambda_function_event_invoke_config
  #checkov:skip=CKV_AWS_117:it uses only S3 and SQS, over TLS and with its role; a VPC would need a NAT gateway and protect nothing
  #checkov:skip=CKV_AWS_272:code signing is for zip packages; the image is pinned by its digest
  function_name = local.detector
  description   = "Checks one window of one model for drift, and sends a retrain trigger when the trigger rules fire."
  role          = aws_iam_role.detector.arn

  package_type  = "Image"
  image_uri     = var.detector_image
  architectures = ["x86_64"]

  memory_size                    = 1024
  timeout                        = 300
  reserved_concurrent_executions = var.detector_concurrency
  kms_key_arn                    = aws_kms_key.this.arn

  environment {
    variables = {
      HOMEOSTAT_PROJECT      = var.project
      HOMEOSTAT_STORE        = local.store_uri
      HOMEOSTAT_TRIGGERS     = aws_sqs_queue.triggers.url
      HOMEOSTAT_IMAGE_DIGEST = split("@", var.detector_image)[1]
    }
  }

  tracing_config {
    mode = "Active"
  }

  # Otherwise Lambda would create the log group itself, without retention, and the first check could run before the
  # role has its permissions.
  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.detector]
}

resource "aws_lambda_function_event_invoke_config" "detector" {
  function_name                = aws_lambda_function.detector.function_name
  maximum_retry_attempts       = local.max_attempts
  maximum_event_age_in_seconds = local.max_age_s

  destination_config {
    on_failure {
      destination = aws_sqs_queue.detector_failures.arn
    }
  }
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.project
}

resource "aws_scheduler_schedule" "check" {
  #checkov:skip=CKV_AWS_297:a schedule contains nothing but a model's name
  for_each = var.models

  name        = each.key
  group_name  = aws_scheduler_schedule_group.this.name
  description = "Checks ${each.key} for drift every ${each.value.every}."
  state       = each.value.enabled ? "ENABLED" : "DISABLED"

  schedule_expression          = local.schedules[each.value.every].cron
  schedule_expression_timezone = "UTC"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.detector.arn
    role_arn = aws_iam_role.scheduler.arn

    # EventBridge replaces this placeholder only in its literal form: jsonencode would write \u003c for "<".
    input = replace(
      jsonencode({ model = each.key, window_end = "SCHEDULED_TIME" }),
      "SCHEDULED_TIME", "<aws.scheduler.scheduled-time>",
    )

    retry_policy {
      maximum_retry_attempts       = 3
      maximum_event_age_in_seconds = local.max_age_s
    }

    dead_letter_config {
      arn = aws_sqs_queue.detector_failures.arn
    }
  }
}
