"""Checks of the deployment's AWS resources, one kind of resource a file. Nothing is written."""
