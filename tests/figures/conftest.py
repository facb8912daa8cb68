from bundle_fixtures import model, rows

__all__ = ["model", "rows"]
