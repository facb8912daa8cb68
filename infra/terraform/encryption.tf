# One KMS key for buckets, queues and log groups. Reading a bucket requires permission to use the key as well, and every
# use of the key is in CloudTrail. Images contain no data and are encrypted by ECR.

resource "aws_kms_key" "this" {
  description             = "Homeostat (${var.project}): buckets, queues and logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.project}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:a key's own policy; without the account in it, the key could never be changed again
  #checkov:skip=CKV_AWS_111:a key's own policy; "*" is this key and nothing else
  #checkov:skip=CKV_AWS_356:a key's own policy; "*" is this key and nothing else
  statement {
    sid       = "AccountDecidesByIAM"
    actions   = ["kms:*"] # the account's administrators; AWS refuses keys without an administrator
    resources = ["*"]     # in a key's policy: this key

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "LogGroupsOfThisProject"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = ["*"] # in a key's policy: this key

    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = [for name in values(local.log_groups) : "arn:${local.partition}:logs:${var.region}:${local.account}:log-group:${name}"]
    }
  }
}
