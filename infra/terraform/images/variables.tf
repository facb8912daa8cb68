variable "project" {
  description = "First part of every name, as in the parent folder."
  type        = string
  default     = "homeostat"
}

variable "region" {
  description = "The AWS region of all resources, as in the parent folder."
  type        = string
}

variable "destroy_data" {
  description = "Whether `terraform destroy` may delete repositories that are not empty."
  type        = bool
  default     = false
}
