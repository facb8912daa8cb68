variable "project" {
  description = "First part of every name: two projects live side by side in one account."
  type        = string
  default     = "homeostat"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.project))
    error_message = "project is the first part of bucket names: 3 to 26 lower-case letters, digits and hyphens, such as \"homeostat\"."
  }
}

variable "region" {
  description = "The AWS region of everything here, such as \"eu-central-1\"."
  type        = string
}

variable "models" {
  description = <<-TEXT
    The models whose model.yaml says "monitor: {runs_on: lambda}", by name. Each has a schedule and an alarm of its own.
    "every" is model.yaml's monitor.every. With enabled = false nothing is scheduled, and no alarm waits for checks.
  TEXT
  type = map(object({
    every   = optional(string, "1h")
    enabled = optional(bool, true)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.models) : can(regex("^[a-z0-9][a-z0-9_-]{0,62}$", name))])
    error_message = "models: a model is named as in its model.yaml, in lower-case letters, digits, _ and -, such as \"bike_demand\"."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : contains(keys(local.rhythms), model.every)])
    error_message = "models: every must fit into a day without rest: ${join(", ", keys(local.rhythms))}. A model with another period is checked by Airflow (monitor: {runs_on: airflow})."
  }
}

variable "store_prefix" {
  description = "Folder of the data bucket that is Homeostat's store: HOMEOSTAT_STORE is s3://<data bucket>/<store_prefix>."
  type        = string
  default     = "store"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]*$", var.store_prefix))
    error_message = "store_prefix is one folder without slashes, such as \"store\"."
  }
}

variable "prediction_log_days" {
  description = "Prediction logs are deleted after so many days. Longer than any model's training window, where models train on them."
  type        = number
  default     = 400

  validation {
    condition     = var.prediction_log_days >= 30
    error_message = "prediction_log_days: the drift check and training read the log; keep at least 30 days."
  }
}

variable "artifact_lock_days" {
  description = "MLflow's artifacts can neither be overwritten nor deleted for so many days (S3 object lock); 0 for no lock."
  type        = number
  default     = 0

  validation {
    condition     = var.artifact_lock_days >= 0 && floor(var.artifact_lock_days) == var.artifact_lock_days
    error_message = "artifact_lock_days is a whole number of days, 0 for no lock."
  }
}

variable "artifact_lock_mode" {
  description = "GOVERNANCE: who has s3:BypassGovernanceRetention may lift the lock. COMPLIANCE: nobody may, not even root."
  type        = string
  default     = "GOVERNANCE"

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.artifact_lock_mode)
    error_message = "artifact_lock_mode is GOVERNANCE or COMPLIANCE."
  }
}

variable "destroy_data" {
  description = "Whether `terraform destroy` may delete buckets that still hold something. Apply once with true before taking all down."
  type        = bool
  default     = false
}

variable "detector_image" {
  description = "Image of the drift detector in ECR, by digest. infra/aws/push_images.sh writes it into images.auto.tfvars."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[^@:]+@sha256:[0-9a-f]{64}$", var.detector_image))
    error_message = "detector_image must be an image in ECR by digest: <account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:<64 hex digits>. A tag may move, a digest cannot. infra/aws/push_images.sh writes it."
  }
}

variable "training_image" {
  description = "Image of the platform in ECR, by digest; Fargate trains in it. infra/aws/push_images.sh writes it into images.auto.tfvars."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[^@:]+@sha256:[0-9a-f]{64}$", var.training_image))
    error_message = "training_image must be an image in ECR by digest: <account>.dkr.ecr.<region>.amazonaws.com/<name>@sha256:<64 hex digits>. A tag may move, a digest cannot. infra/aws/push_images.sh writes it."
  }
}

variable "detector_concurrency" {
  description = "So many detectors may run at once (reserved concurrency); -1 for as many as the account allows. Two checks of one window at once are harmless."
  type        = number
  default     = -1

  validation {
    condition     = var.detector_concurrency == -1 || var.detector_concurrency >= 1
    error_message = "detector_concurrency is -1, or at least 1: with 0 no check would ever run."
  }
}

variable "vpc_id" {
  description = "The VPC in which Fargate trains."
  type        = string
}

variable "subnet_ids" {
  description = "Its private subnets, with a way out to S3, ECR, CloudWatch and MLflow: a NAT gateway or endpoints."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids: Fargate needs at least one subnet, such as [\"subnet-0abc\"]."
  }
}

variable "training_egress" {
  description = "Where a training task may connect to, by a name of your choice. Add MLflow's and the ledger's ports where they are not 443."
  type = map(object({
    port = number
    cidr = string
  }))
  default = {
    https = { port = 443, cidr = "0.0.0.0/0" }
  }
}

variable "mlflow_tracking_uri" {
  description = "The MLflow server as training tasks reach it, such as \"https://mlflow.example.com\"."
  type        = string

  validation {
    condition     = can(regex("^https?://", var.mlflow_tracking_uri))
    error_message = "mlflow_tracking_uri is a URL, such as \"https://mlflow.example.com\"."
  }
}

variable "training_environment" {
  description = "More environment variables for the training task. No secrets: they would be readable in the task definition."
  type        = map(string)
  default     = {}
}

variable "training_secrets" {
  description = "Environment variables of the training task from Secrets Manager: name to the secret's ARN, for example HOMEOSTAT_LEDGER."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.training_secrets) : can(regex("^arn:[a-z-]+:secretsmanager:", arn))])
    error_message = "training_secrets maps names to ARNs of Secrets Manager: arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that hear the alarms. Empty: alarms are only seen in CloudWatch."
  type        = list(string)
  default     = []
}

variable "oldest_trigger_seconds" {
  description = "A trigger that Airflow has not taken for so long raises an alarm."
  type        = number
  default     = 1800
}

variable "log_retention_days" {
  description = "CloudWatch keeps log lines for so many days."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days is one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}
