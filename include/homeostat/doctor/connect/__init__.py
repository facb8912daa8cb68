"""Connections to the services of a deployment, with short time limits. Nothing is created or written."""
