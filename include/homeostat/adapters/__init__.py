"""The only rooms that know MLflow, SQL and S3; a fake beside each."""
