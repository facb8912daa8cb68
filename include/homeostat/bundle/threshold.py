"""The decision threshold of two classes: the positive one is predicted from this probability on."""

from __future__ import annotations

from typing import Any

import numpy as np

from homeostat.config.errors import ConfigError
from homeostat.config.label_text import label_texts
from homeostat.config.positive_class import obvious_positive


def positive_position(classes: Any, positive: str | None, model: str) -> int:
    """Return the position of the positive one of two classes.

    Parameters
    ----------
    classes
        The classes of the labels, shape (classes,).
    positive
        ``schema.label.positive``; None to take it from the names of the classes where they say it.
    model
        For the message.

    Raises
    ------
    ConfigError
        There are not two classes, or it is not known which is positive.
    """
    texts = [text for text in label_texts(np.asarray(classes).tolist()) if text is not None]
    shown = ", ".join(texts[:5])
    if len(texts) != 2:
        msg = f"{model}: threshold is for two classes, but the labels have {len(texts)} ({shown}): remove it"
        raise ConfigError(msg)
    found = positive if positive is not None else obvious_positive(texts)
    if found not in texts:
        msg = (
            f"{model}: threshold needs to know which of the classes {shown} is positive, the one that is "
            f"predicted from this probability on: set schema.label.positive, for example to {texts[0]!r}"
        )
        raise ConfigError(msg)
    return texts.index(str(found))


def threshold_facts(threshold: float | None, classes: Any, positive: str | None) -> dict[str, Any]:
    """Return what a bundle's manifest says of the threshold; nothing without one.

    A version decides by it as long as it serves, whatever model.yaml says later.
    """
    if threshold is None:
        return {}
    at = positive_position(classes, positive, "the model")
    return {"threshold": threshold, "positive": label_texts(np.asarray(classes).tolist())[at]}
