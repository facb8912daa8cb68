"""From a snapshot to a bundle: fit, reference, evaluation, and what is recorded."""
