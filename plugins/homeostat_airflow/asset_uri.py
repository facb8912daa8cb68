"""Asset URIs of Homeostat: ``homeostat://MODEL/drift``."""

from urllib.parse import SplitResult


def sanitize(uri: SplitResult) -> SplitResult:
    """Return the URI unchanged; ValueError unless it names a model."""
    if not uri.netloc:
        msg = f"{uri.geturl()!r} is not an asset of Homeostat: write homeostat://MODEL/drift"
        raise ValueError(msg)
    return uri
