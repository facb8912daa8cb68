"""Access control of the gateway: tokens, rate limits, and the audit log."""
