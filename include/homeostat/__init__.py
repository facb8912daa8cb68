"""Homeostat keeps machine-learning models healthy without a person watching them."""
