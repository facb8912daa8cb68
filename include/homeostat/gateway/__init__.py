"""Serves champion and candidate over HTTP and takes a bad version back."""
