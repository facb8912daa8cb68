"""The form of every command: arguments in its usage, and a ``--no-`` form of each flag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose flags can all be taken back: ``--json --no-json`` is text.

    Flags that are on by default show their ``--no-`` form in the help; of the others it would only take room.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take out flags that a later ``--no-`` form takes back, and parse the rest."""
        flags = {option for param in self.params if _is_plain_flag(param) for option in param.opts}
        return super().parse_args(ctx, without_taken_back(args, flags))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage, without old forms: ``[OPTIONS] MODEL [VERSION]``."""
        shown = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
        pieces = [piece for param in shown for piece in param.get_usage_pieces(ctx)]
        options = [self.options_metavar] if self.options_metavar else []
        return [*options, *(piece.strip("{}") for piece in pieces)]


def without_taken_back(args: Sequence[str], flags: set[str]) -> list[str]:
    """Return the arguments without flags that a later ``--no-`` form takes back, and without these forms."""
    end = list(args).index("--") if "--" in args else len(args)
    left: list[str] = []
    for argument in args[:end]:
        taken_back = f"--{argument.removeprefix('--no-')}"
        if argument.startswith("--no-") and taken_back in flags:
            left = [each for each in left if each != taken_back]
        else:
            left.append(argument)
    return [*left, *args[end:]]


def _is_plain_flag(param: Any) -> bool:
    return bool(getattr(param, "is_flag", False)) and not param.secondary_opts
