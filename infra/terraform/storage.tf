# The two buckets. The data bucket is the store: predictions, labels, profiles, reports, snapshots and bundles, each in a
# folder of var.store_prefix. The artifact bucket is MLflow's.

locals {
  store = "${aws_s3_bucket.this["data"].arn}/${var.store_prefix}"

  buckets = {
    data      = { keep_old_versions_days = 30 }
    artifacts = { keep_old_versions_days = 90 }
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:CloudTrail's data events record reads where a team enables them; access logs would need a third bucket
  #checkov:skip=CKV_AWS_144:a second region would double the storage costs; versioning protects against mistakes, and the data can be rebuilt
  #checkov:skip=CKV2_AWS_62:no service consumes object events; triggers go through the queue
  for_each = local.buckets

  bucket        = "${var.project}-${each.key}-${local.account}-${var.region}"
  force_destroy = var.destroy_data

  # Must be set at creation. It locks nothing by itself: see aws_s3_bucket_object_lock_configuration.
  object_lock_enabled = each.key == "artifacts"
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = true # one call to KMS for many objects

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id
  policy = data.aws_iam_policy_document.only_tls[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

data "aws_iam_policy_document" "only_tls" {
  for_each = local.buckets

  statement {
    sid     = "OnlyTLS"
    effect  = "Deny"
    actions = ["s3:*"] # deny every request without TLS
    resources = [
      aws_s3_bucket.this[each.key].arn,
      "${aws_s3_bucket.this[each.key].arn}/*", # deny for every object
    ]

    principals {
      type        = "*"   # deny for everyone
      identifiers = ["*"] # deny for everyone
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:the first rule covers the whole bucket; the check only sees the dynamic rule
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "left-behind"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = each.value.keep_old_versions_days
    }

    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.key == "data" ? ["log"] : []

    content {
      id     = "old-prediction-logs"
      status = "Enabled"

      filter {
        prefix = "${var.store_prefix}/log/"
      }

      expiration {
        days = var.prediction_log_days
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_object_lock_configuration" "artifacts" {
  count = var.artifact_lock_days > 0 ? 1 : 0

  bucket = aws_s3_bucket.this["artifacts"].id

  rule {
    default_retention {
      mode = var.artifact_lock_mode
      days = var.artifact_lock_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
