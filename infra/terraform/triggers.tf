# Detector -> queue -> Airflow. FIFO, with the trigger's own id for deduplication: a window's trigger counts once.

resource "aws_sqs_queue" "triggers" {
  name       = "${var.project}-triggers.fifo"
  fifo_queue = true

  # An hour for Airflow to see to it that the retrain runs; a day for somebody to notice that Airflow is away.
  visibility_timeout_seconds = 3600
  message_retention_seconds  = 86400
  receive_wait_time_seconds  = 20

  kms_master_key_id = aws_kms_key.this.arn
}

# Three tries: what Airflow cannot read or start goes aside, where an alarm sees it.
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

# Checks that failed for good: events that the detector gave up on, and schedules that did not reach it.
resource "aws_sqs_queue" "detector_failures" {
  name = "${var.project}-detector-failures"

  message_retention_seconds = 1209600
  kms_master_key_id         = aws_kms_key.this.arn
}
