"""The story in order, over ports."""
