"""What a candidate has to show before it may meet traffic."""
