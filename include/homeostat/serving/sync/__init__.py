"""Follow the ledger beside the requests: load versions, send evidence, advance rollouts, route."""
