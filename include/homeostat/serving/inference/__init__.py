"""From the rows of a request to its answer: cohort, batch, predict call, record."""
