output "repositories" {
  description = "Address of each repository, by what is in it: detector, platform."
  value       = { for part, repository in aws_ecr_repository.this : part => repository.repository_url }
}
