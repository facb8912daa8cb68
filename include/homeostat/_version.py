"""The version of the package, the image and the command line."""

__version__ = "0.2.0"
