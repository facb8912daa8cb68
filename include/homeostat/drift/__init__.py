"""Tests of two profiles against each other, and the verdict over all columns."""
