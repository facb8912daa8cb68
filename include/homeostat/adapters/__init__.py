"""The only rooms that know MLflow, SQL and S3; a fake beside each.

Nothing heavy is imported before it is used: MLflow, boto3 and SQLAlchemy come with the first port that
needs them.
"""

from homeostat.adapters.build import build_ports, fake_ports, open_ledger, open_store

__all__ = ["build_ports", "fake_ports", "open_ledger", "open_store"]
