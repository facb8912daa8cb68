"""From the rows of a request to its predictions: routing, batch, predict call, log entry."""
