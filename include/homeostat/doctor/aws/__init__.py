"""What of this deployment is in AWS, one part a file. Nothing here writes."""
