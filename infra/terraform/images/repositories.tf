# The image repositories. A separate root module, because function and task cannot be created without an image.

locals {
  repositories = toset(["detector", "platform"])
}

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:images contain code and public packages, no data; ECR encrypts them with its own key
  for_each = local.repositories

  name                 = "${var.project}-${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.destroy_data

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = local.repositories

  repository = aws_ecr_repository.this[each.key].name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "The newest 50; the image that runs is among them unless it is 50 pushes old."
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 50 }
        action       = { type = "expire" }
      }
    ]
  })
}

# The Lambda service pulls the image, not the function's role.
resource "aws_ecr_repository_policy" "detector" {
  repository = aws_ecr_repository.this["detector"].name
  policy     = data.aws_iam_policy_document.detector.json
}

data "aws_iam_policy_document" "detector" {
  statement {
    sid     = "LambdaPullsImage"
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.this.partition}:lambda:${var.region}:${data.aws_caller_identity.this.account_id}:function:${var.project}-detector"]
    }
  }
}
