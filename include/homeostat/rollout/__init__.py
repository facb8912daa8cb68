"""Phases of a rollout and the pure decisions between them."""
