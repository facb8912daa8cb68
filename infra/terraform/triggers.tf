# The queue of retrain triggers from the Lambda function to Airflow. It is FIFO and deduplicates by trigger id, so that a
# window's trigger counts once.

resource "aws_sqs_queue" "triggers" {
  name       = "${var.project}-triggers.fifo"
  fifo_queue = true

  # Airflow has an hour to start the retrain; a trigger survives a day of Airflow downtime.
  visibility_timeout_seconds = 3600
  message_retention_seconds  = 86400
  receive_wait_time_seconds  = 20

  kms_master_key_id = aws_kms_key.this.arn
}

# After three deliveries, a trigger that Airflow cannot read or start becomes a dead letter, which raises an alarm.
resource "aws_sqs_queue_redrive_policy" "triggers" {
  queue_url = aws_sqs_queue.triggers.id

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.triggers_dead.arn
    maxReceiveCount     = 3
  })
}

resource "aws_sqs_queue" "triggers_dead" {
  name       = "${var.project}-triggers-dead.fifo"
  fifo_queue = true

  message_retention_seconds = 1209600
  kms_master_key_id         = aws_kms_key.this.arn
}

# Drift checks that failed in all retries, and scheduled events that did not reach the Lambda function.
resource "aws_sqs_queue" "detector_failures" {
  name = "${var.project}-detector-failures"

  message_retention_seconds = 1209600
  kms_master_key_id         = aws_kms_key.this.arn
}
