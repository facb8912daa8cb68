"""Counts on frozen edges: the one currency of monitoring and rollouts."""
