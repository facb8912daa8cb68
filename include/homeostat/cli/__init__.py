"""The command line: ``homeostat``."""

from homeostat.cli.app import main

__all__ = ["main"]
