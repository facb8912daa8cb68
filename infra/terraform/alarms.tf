# Log groups, alarms and the dashboard.

locals {
  log_groups = {
    detector = "/aws/lambda/${local.detector}" # the name that Lambda uses
    train    = "/${var.project}/train"
  }

  # An alarm is raised for any message in these queues.
  failed = {
    triggers-dead     = aws_sqs_queue.triggers_dead.name
    detector-failures = aws_sqs_queue.detector_failures.name
  }

  checked   = { namespace = "Homeostat", metric = "Checked" } # logged by the Lambda function, see homeostat/aws/lambda_metrics.py
  scheduled = { for name, model in var.models : name => model if model.enabled }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:records are kept in the store and in MLflow; logs are for troubleshooting only
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_cloudwatch_metric_alarm" "detector_errors" {
  alarm_name        = "${var.project}-detector-errors"
  alarm_description = "The drift-check Lambda function failed. Lambda retries ${local.max_attempts} times, then sends the event to ${aws_sqs_queue.detector_failures.name}. Read the log group ${local.log_groups.detector}."

  namespace   = "AWS/Lambda"
  metric_name = "Errors"
  dimensions  = { FunctionName = aws_lambda_function.detector.function_name }

  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "failed" {
  for_each = local.failed

  alarm_name        = "${var.project}-${each.key}"
  alarm_description = "${each.value} has messages that failed in all retries. Read them, fix the cause, then redrive them or repeat the check of that window."

  namespace   = "AWS/SQS"
  metric_name = "ApproximateNumberOfMessagesVisible"
  dimensions  = { QueueName = each.value }

  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "oldest_trigger" {
  alarm_name        = "${var.project}-oldest-trigger"
  alarm_description = "A retrain trigger waits in the queue. Check that Airflow runs and that its DAG consume_retrain_triggers is not paused. After a day the trigger is deleted."

  namespace   = "AWS/SQS"
  metric_name = "ApproximateAgeOfOldestMessage"
  dimensions  = { QueueName = aws_sqs_queue.triggers.name }

  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_trigger_seconds
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

# A function that does not run logs no errors.
resource "aws_cloudwatch_metric_alarm" "silence" {
  for_each = local.scheduled

  alarm_name        = "${var.project}-silence-${each.key}"
  alarm_description = "No drift check of ${each.key} for three periods of ${each.value.every}. Run `homeostat doctor ${each.key}`: it checks the schedule, the Lambda function and the published model state."

  namespace   = local.checked.namespace
  metric_name = local.checked.metric
  dimensions  = { Project = var.project, Model = each.key }

  statistic           = "Sum"
  period              = local.schedules[each.value.every].seconds
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.project
  dashboard_body = jsonencode({
    widgets = [
      for at, widget in [
        {
          title   = "Drift checks per model"
          stat    = "Sum"
          period  = 3600
          metrics = [for name in keys(var.models) : [local.checked.namespace, local.checked.metric, "Project", var.project, "Model", name]]
        },
        {
          title   = "Share of drifted features per model"
          stat    = "Maximum"
          period  = 3600
          metrics = [for name in keys(var.models) : [local.checked.namespace, "DriftedShare", "Project", var.project, "Model", name]]
        },
        {
          title  = "Lambda function: errors and throttles"
          stat   = "Sum"
          period = 300
          metrics = [
            for metric in ["Errors", "Throttles"] : ["AWS/Lambda", metric, "FunctionName", aws_lambda_function.detector.function_name]
          ]
        },
        {
          title   = "Lambda function: duration (ms, p99)"
          stat    = "p99"
          period  = 300
          metrics = [["AWS/Lambda", "Duration", "FunctionName", aws_lambda_function.detector.function_name]]
        },
        {
          title   = "Age of the oldest waiting trigger (s)"
          stat    = "Maximum"
          period  = 300
          metrics = [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.triggers.name]]
        },
        {
          title   = "Dead-letter triggers and failed checks"
          stat    = "Maximum"
          period  = 300
          metrics = [for queue in values(local.failed) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue]]
        },
        {
          title  = "Training: CPU and memory utilization"
          stat   = "Average"
          period = 60
          metrics = [
            for metric in ["CpuUtilized", "MemoryUtilized"] :
            ["ECS/ContainerInsights", metric, "ClusterName", aws_ecs_cluster.this.name, "TaskDefinitionFamily", aws_ecs_task_definition.train.family]
          ]
        },
        ] : {
        type   = "metric"
        x      = 12 * (at % 2)
        y      = 6 * floor(at / 2)
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = var.region
          stat    = widget.stat
          period  = widget.period
          metrics = length(widget.metrics) > 0 ? widget.metrics : [[local.checked.namespace, local.checked.metric]]
        }
      }
    ]
  })
}
