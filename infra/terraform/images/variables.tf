variable "project" {
  description = "First part of every name, as in the root above."
  type        = string
  default     = "homeostat"
}

variable "region" {
  description = "The AWS region of everything here, as in the root above."
  type        = string
}

variable "destroy_data" {
  description = "Whether `terraform destroy` may delete repositories that still hold images."
  type        = bool
  default     = false
}
