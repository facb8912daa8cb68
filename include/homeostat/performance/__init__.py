"""How good the answers are, and how much worse than they were."""
