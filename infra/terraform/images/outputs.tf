output "repositories" {
  description = "Address of each repository, by image: detector (the Lambda function), platform (the train step)."
  value       = { for part, repository in aws_ecr_repository.this : part => repository.repository_url }
}
