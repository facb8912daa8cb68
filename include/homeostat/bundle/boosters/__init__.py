"""XGBoost, LightGBM and CatBoost: their own formats in a bundle, native categories, labels as text.

``NativeCategories`` is for pipelines of the user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.bundle.boosters.categories import NativeCategories

__all__ = ["NativeCategories"]


def __getattr__(name: str) -> Any:
    """Import on use: it imports scikit-learn, which most of the library does without."""
    if name == "NativeCategories":
        from homeostat.bundle.boosters.categories import NativeCategories

        return NativeCategories
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
