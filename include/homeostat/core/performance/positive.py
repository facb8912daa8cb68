"""Which class is positive, decided once the classes of the data are known."""

from __future__ import annotations

from collections.abc import Iterable

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError
from homeostat.config.positive_class import OF_ONE_CLASS, obvious_positive


def with_positive_class(config: ModelConfig, classes: Iterable[str]) -> ModelConfig:
    """Return the configuration with ``schema.label.positive``, guessed where the classes' names say it.

    With more than two classes and no ``positive`` it is unchanged: F1 is then the mean over all classes.

    Parameters
    ----------
    classes
        The classes of the data, as text; those that ``schema.label.classes`` lists count instead.

    Raises
    ------
    ConfigError
        ``gate.metric`` is of one class, and it is not known which, or the data does not have it.
    """
    label = config.columns.label
    names = sorted(label.classes or set(classes))
    if config.task == "regression" or len(names) < 2:
        return config
    needed = config.metric in OF_ONE_CLASS
    shown = ", ".join(f"'{name}'" for name in names[:5]) + (", ..." if len(names) > 5 else "")
    where = f"{config.folder / 'model.yaml'}, schema.label.positive"
    if label.positive is not None:
        if needed and label.positive not in names:
            msg = f"{where}: '{label.positive}' is none of the classes of the data: {shown}"
            raise ConfigError(msg)
        return config
    guess = obvious_positive(names)
    if guess is None and needed and len(names) == 2:
        msg = (
            f"{where}: missing. gate.metric is {config.metric}, which is computed of one class, and the "
            f"classes are {shown}: write positive: {_written(names[0])} or positive: {_written(names[1])}"
        )
        raise ConfigError(msg)
    return config if guess is None else config.with_positive(guess)


def guessed_sentence(config: ModelConfig, known: ModelConfig) -> str:
    """Return that the positive class of ``known`` was guessed and matters to its metric; "" otherwise."""
    positive = known.columns.label.positive
    if positive is None or config.columns.label.positive is not None or config.metric not in OF_ONE_CLASS:
        return ""
    return f"'{positive}' was taken as the positive class, since schema.label.positive is not set"


def _written(name: str) -> str:
    """Return a class as model.yaml needs it: in quotes, unless it is a plain word that YAML reads as text."""
    plain = name.replace("_", "").replace("-", "").isalpha() and name.lower() not in _YAML_WORDS
    return name if plain else f"'{name}'"


#: Words that YAML reads as a boolean or null.
_YAML_WORDS = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
