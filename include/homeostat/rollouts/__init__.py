"""The only writer of the ledger: advance, promote, roll back, sync MLflow's aliases."""
