output "airflow_environment" {
  description = "Environment variables for every Airflow process."
  value = {
    AWS_DEFAULT_REGION = var.region
    HOMEOSTAT_PROJECT  = var.project
    HOMEOSTAT_STORE    = local.store_uri
    HOMEOSTAT_TRIGGERS = aws_sqs_queue.triggers.url
    HOMEOSTAT_ECS = jsonencode({
      cluster = aws_ecs_cluster.this.name
      # Without a revision: Airflow runs the newest one, so that this does not change with each image.
      task_definition = aws_ecs_task_definition.train.family
      container       = local.container
      subnets         = var.subnet_ids
      security_groups = [aws_security_group.train.id]
      log_group       = aws_cloudwatch_log_group.this["train"].name
    })
  }
}

output "gateway_environment" {
  description = "Environment variables for every gateway, besides HOMEOSTAT_LEDGER and MLFLOW_TRACKING_URI."
  value = {
    AWS_DEFAULT_REGION = var.region
    HOMEOSTAT_STORE    = local.store_uri
  }
}

output "mlflow_environment" {
  description = "Environment variables for the MLflow server, besides its database."
  value = {
    AWS_DEFAULT_REGION           = var.region
    MLFLOW_ARTIFACTS_DESTINATION = "s3://${aws_s3_bucket.this["artifacts"].bucket}/mlflow"
  }
}

output "airflow_policy_arn" {
  description = "Policy to attach to the role of Airflow's processes."
  value       = aws_iam_policy.airflow.arn
}

output "gateway_policy_arn" {
  description = "Policy to attach to the role of the gateways."
  value       = aws_iam_policy.gateway.arn
}

output "mlflow_policy_arn" {
  description = "Policy to attach to the role of the MLflow server."
  value       = aws_iam_policy.mlflow.arn
}

output "store" {
  description = "HOMEOSTAT_STORE: everything except MLflow's artifacts."
  value       = local.store_uri
}

output "data_bucket" {
  description = "Name of the store's bucket."
  value       = aws_s3_bucket.this["data"].bucket
}

output "artifact_bucket" {
  description = "Name of the bucket for MLflow's artifacts."
  value       = aws_s3_bucket.this["artifacts"].bucket
}

output "trigger_queue_url" {
  description = "HOMEOSTAT_TRIGGERS: the FIFO queue of retrain triggers."
  value       = aws_sqs_queue.triggers.url
}

output "dead_trigger_queue_url" {
  description = "Dead-letter queue: triggers that were received three times and never deleted."
  value       = aws_sqs_queue.triggers_dead.url
}

output "detector_failures_queue_url" {
  description = "Queue of drift checks that failed in all retries or did not reach the Lambda function."
  value       = aws_sqs_queue.detector_failures.url
}

output "detector_function" {
  description = "Name of the drift-check Lambda function."
  value       = aws_lambda_function.detector.function_name
}

output "schedule_group" {
  description = "Group of the schedules, one per model, named after the model."
  value       = aws_scheduler_schedule_group.this.name
}

output "log_groups" {
  description = "Log groups of the Lambda function and of training tasks."
  value       = { for part, group in aws_cloudwatch_log_group.this : part => group.name }
}

output "dashboard" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
