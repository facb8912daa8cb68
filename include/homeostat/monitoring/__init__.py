"""Check one window: contract, drift, performance, and whether to retrain."""
