"""Connections to the parts of a deployment, each made once and shared by the checks."""
