"""Record predictions and labels: journaled at once, stored soon, each row once or counted as lost."""
