variable "project" {
  description = "First part of every name, so that two projects can share an account."
  type        = string
  default     = "homeostat"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.project))
    error_message = "project is the first part of bucket names: 3 to 26 lower-case letters, digits and hyphens, such as \"homeostat\"."
  }
}

variable "region" {
  description = "The AWS region of all resources, such as \"eu-central-1\"."
  type        = string
}

variable "models" {
  description = <<-TEXT
    The models with "monitor: {runs_on: lambda}" in model.yaml, by name. Each gets a schedule and an alarm.
    "every" must equal monitor.every in model.yaml. enabled = false disables the schedule and removes the alarm.
  TEXT
  type = map(object({
    every   = optional(string, "1h")
    enabled = optional(bool, true)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.models) : can(regex("^[a-z0-9][a-z0-9_-]{0,62}$", name))])
    error_message = "models: use the name from model.yaml, in lower-case letters, digits, _ and -, such as \"bike_demand\"."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : contains(keys(local.schedules), model.every)])
    error_message = "models: every must be one of ${join(", ", keys(local.schedules))}. For another period, let Airflow check the model (monitor: {runs_on: airflow})."
  }
}

variable "store_prefix" {
  description = "Folder of the data bucket for Homeostat's store: HOMEOSTAT_STORE is s3://<data bucket>/<store_prefix>."
  type        = string
  default     = "store"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]*$", var.store_prefix))
    error_message = "store_prefix must be one folder name without slashes, such as \"store\"."
  }
}

variable "prediction_log_days" {
  description = "Days after which prediction logs are deleted. Must exceed the training window of every model with source kind predictions."
  type        = number
  default     = 400

  validation {
    condition     = var.prediction_log_days >= 30
    error_message = "prediction_log_days must be at least 30: drift checks and training read the log."
  }
}

variable "artifact_lock_days" {
  description = "Days for which MLflow's artifacts cannot be overwritten or deleted (S3 object lock); 0 for no lock."
  type        = number
  default     = 0

  validation {
    condition     = var.artifact_lock_days >= 0 && floor(var.artifact_lock_days) == var.artifact_lock_days
    error_message = "artifact_lock_days must be a whole number of days, or 0 for no lock."
  }
}

variable "artifact_lock_mode" {
  description = "GOVERNANCE: users with s3:BypassGovernanceRetention can remove the lock. COMPLIANCE: no user can, not even root."
  type        = string
  default     = "GOVERNANCE"

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.artifact_lock_mode)
    error_message = "artifact_lock_mode must be GOVERNANCE or COMPLIANCE."
  }
}

variable "destroy_data" {
  description = "Whether `terraform destroy` may delete buckets that are not empty. Apply with true before you destroy."
  type        = bool
  default     = false
}

variable "detector_image" {
  description = "Image of the drift-check Lambda function in ECR, by digest. infra/aws/push_images.sh writes it into images.auto.tfvars."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[^@:]+@sha256:[0-9a-f]{64}$", var.detector_image))
    error_message = "detector_image must be an image in ECR by digest: <account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:<64 hex digits>. A tag can move to another image, a digest cannot. Run infra/aws/push_images.sh, which writes it."
  }
}

variable "training_image" {
  description = "Image of the train step in ECR, by digest. infra/aws/push_images.sh writes it into images.auto.tfvars."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[^@:]+@sha256:[0-9a-f]{64}$", var.training_image))
    error_message = "training_image must be an image in ECR by digest: <account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:<64 hex digits>. A tag can move to another image, a digest cannot. Run infra/aws/push_images.sh, which writes it."
  }
}

variable "detector_concurrency" {
  description = "Reserved concurrency of the drift-check Lambda function; -1 for the limit of the account. Concurrent checks of one window are safe."
  type        = number
  default     = -1

  validation {
    condition     = var.detector_concurrency == -1 || var.detector_concurrency >= 1
    error_message = "detector_concurrency must be -1 or at least 1: with 0 no check runs."
  }
}

variable "vpc_id" {
  description = "The VPC of the training tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of that VPC which reach S3, ECR, CloudWatch and MLflow, through a NAT gateway or endpoints."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must have at least one subnet, such as [\"subnet-0abc\"]."
  }
}

variable "training_egress" {
  description = "Addresses that training tasks may connect to, by a name of your choice. Add MLflow's port if it is not 443."
  type = map(object({
    port = number
    cidr = string
  }))
  default = {
    https = { port = 443, cidr = "0.0.0.0/0" }
  }
}

variable "mlflow_tracking_uri" {
  description = "The MLflow server's URL for training tasks, such as \"https://mlflow.example.com\"."
  type        = string

  validation {
    condition     = can(regex("^https?://", var.mlflow_tracking_uri))
    error_message = "mlflow_tracking_uri must be a URL, such as \"https://mlflow.example.com\"."
  }
}

variable "training_environment" {
  description = "Additional environment variables of the training task. Not for secrets: the task definition is readable."
  type        = map(string)
  default     = {}
}

variable "training_secrets" {
  description = "Environment variables of the training task from Secrets Manager: name to the secret's ARN, for example HOMEOSTAT_LEDGER."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.training_secrets) : can(regex("^arn:[a-z-]+:secretsmanager:", arn))])
    error_message = "training_secrets must map names to ARNs of Secrets Manager: arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms notify. Empty: alarms show only in CloudWatch."
  type        = list(string)
  default     = []
}

variable "oldest_trigger_seconds" {
  description = "Seconds after which a trigger that Airflow has not received raises an alarm."
  type        = number
  default     = 1800
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps logs."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}
