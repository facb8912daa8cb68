"""How a notice reads: title, sentence, figures, what to do, links; one text for chat and e-mail alike.

The text is Markdown, which Apprise turns into what each service shows: HTML in e-mails, Slack's own markup,
cards in Teams. Addresses are written out, since a service that shows plain text would drop them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from homeostat.config.notices import NoticeKind, Severity
from homeostat.ports import Notice

#: Text from data must not end a line, and must not become markup or HTML.
_UNSAFE = str.maketrans({"<": "‹", ">": "›", "*": "∗", "`": "'", "\\": "/", "[": "(", "]": ")"})
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")
#: Teams shows about so many characters of a message.
MAX_SENTENCE = 600
_ENDED = {
    NoticeKind.PROMOTED: "success",
    NoticeKind.RESOLVED: "success",
}
_TONES = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}


@dataclass(frozen=True, slots=True)
class Message:
    """What is handed to Apprise: a title of one line, a body in Markdown, and Apprise's type of notice."""

    title: str
    body: str
    tone: str = "info"


def as_message(
    notice: Notice,
    severity: Severity,
    *,
    began: str = "",
    between: Sequence[str] = (),
    links: Sequence[tuple[str, str]] = (),
) -> Message:
    """Return a notice as it is sent.

    Parameters
    ----------
    began, between
        For the end of a story: when and how it began, and what came between.
    links
        Links of the place that sends it, after the notice's own.
    """
    parts = [clean(notice.body)]
    figures = [f"- **{clean(name)}**: {clean(value)}" for name, value in notice.figures]
    figures += [f"- **Began**: {clean(began)}"] if began else []
    figures += [f"- **Meanwhile**: {clean(each)}" for each in between]
    if figures:
        parts.append("\n".join(figures))
    parts.append(f"**What to do**: {clean(notice.action) or 'Nothing.'}")
    shown = dict.fromkeys((*notice.links, *links))
    if shown:
        parts.append("\n".join(f"- {clean(name)}: {_address(url)}" for name, url in shown))
    urgent = "CRITICAL: " if severity is Severity.CRITICAL else ""
    return Message(
        f"{urgent}{one_line(notice.title, most=200)}",
        "\n\n".join(parts),
        _ENDED.get(notice.kind, _TONES[severity]),
    )


def as_digest(model: str, held: Sequence[tuple[datetime, Notice]]) -> Message:
    """Return one message for all notices that were held back, oldest first."""
    noun = "notice" if len(held) == 1 else "notices"
    lines = []
    for at, notice in held:
        title = clean(notice.title.removeprefix(f"{model}: "), most=200)
        lines.append(f"- **{at:%H:%M} UTC {title}**: {clean(notice.body)}")
        if notice.action:
            lines[-1] += f" What to do: {clean(notice.action)}"
        lines[-1] += "".join(f" {clean(name)}: {_address(url)}" for name, url in notice.links)
    return Message(f"{model}: {len(held)} {noun} from the quiet hours", "\n".join(lines))


def clean(text: str, *, most: int = MAX_SENTENCE) -> str:
    """Return text on one line, without markup, at most so many characters long."""
    return one_line(text.translate(_UNSAFE), most=most)


def one_line(text: str, *, most: int) -> str:
    """Return text on one line, at most so many characters long: for titles, which are no Markdown."""
    text = _BLANKS.sub(" ", text).strip()
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _address(url: str) -> str:
    """Return a link whose text is its address: plain text keeps it, and HTML can be clicked."""
    url = (
        _BLANKS.sub("", url).translate({ord(c): None for c in '<>"`'}).replace("(", "%28").replace(")", "%29")
    )
    return f"[{url}]({url})"
