"""What was served and what turned out: journaled at once, stored soon, each row once or counted as lost."""
