"""A backtest as one HTML file: nothing is fetched, the picture is inside, and no script is needed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template

from homeostat.backtest import Backtest, Turn, events, gain, sentences, shown, to_json
from homeostat.backtest.promotion_effects import Judged
from homeostat.cli.commands.backtest_table import difference, mark, settings
from homeostat.config import format_duration
from homeostat.figures import NAMES, policies_over_time

_VERDICTS = {
    "better": ("did good", "pass"),
    "worse": ("did harm", "alert"),
    "no_difference": ("no difference", "none"),
    "not_computable": ("too few rows after it", "none"),
}


def page_of(found: Backtest) -> str:
    """The report: what Homeostat would have done, the picture, the table, every event with its reason."""
    template = Template(
        files("homeostat.commands").joinpath("backtest_page.html").read_text(encoding="utf-8")
    )
    stream = found.stream
    length = f"{stream.by_rows} rows" if stream.by_rows else format_duration(stream.length)
    picture = policies_over_time(to_json(found)["policies"], found.score_name)
    first, last = stream.windows[0].first, stream.windows[-1].last
    return template.substitute(
        model=escape(found.config.name),
        sentences="".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(found)),
        notes="".join(f'<p class="soft">Note: {escape(note)}.</p>' for note in found.notes),
        windows=len(stream.windows),
        length=escape(length),
        span=f"{first:%Y-%m-%d} to {last:%Y-%m-%d}",
        reference=f"{stream.reference_rows:,}",
        score=escape(found.score_name.replace("_", " ")),
        picture=base64.b64encode(picture).decode(),
        rows=_policies(found),
        events=_events(found, "homeostat"),
        article=_events(found, "article"),
        grid=_grid(found),
        at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _policies(found: Backtest) -> str:
    rows = []
    for name, outcome in found.outcomes.items():
        played = outcome.played
        more = None if name == "frozen" else gain(found, outcome)
        style = "" if more is None else ' class="good"' if more > 0 else ' class="bad"'
        verdicts = [judged.verdict for judged in outcome.promotions]
        cells = [
            f'<td class="t name">{escape(NAMES[name])}</td>',
            f"<td>{shown(found, outcome.score)}</td>",
            f"<td{style}>{difference(more, small=found.score_name != 'mae')}</td>",
            *(f"<td>{count}</td>" for count in (played.retrains, played.promoted, played.refused)),
            *(f"<td>{verdicts.count(verdict)}</td>" for verdict in ("better", "worse")),
        ]
        rows.append(_tr("".join(cells), own=name == "homeostat"))
    return "\n".join(rows)


def _events(found: Backtest, policy: str) -> str:
    judged = {item.span.number: item for item in found.outcomes[policy].promotions}
    turns = [turn for name, turn in events(found) if name == policy]
    if not turns:
        return '<tr><td class="t" colspan="5">nothing would have fired</td></tr>'
    return "\n".join(_event(found, turn, judged.get(turn.span.number)) for turn in turns)


def _event(found: Backtest, turn: Turn, judged: Judged | None) -> str:
    what = "former champion" if turn.event == "recall" else "retrain"
    came, style = ("promoted", "pass") if turn.promoted else ("refused", "alert")
    if not turn.promoted and turn.event == "retrain" and not turn.fitted:
        came, style = "no candidate", "not_computable"
    after = ""
    if judged is not None:
        said, mood = _VERDICTS[judged.verdict]
        after = f'<span class="tag {mood}">{said}</span>'
        if judged.rows:
            after += (
                f"<br>{shown(found, judged.score)} on {judged.rows:,} rows, the one before "
                f"{shown(found, judged.score_before)}"
            )
    cells = [
        f'<td class="t">{turn.span.last:%Y-%m-%d %H:%M}</td>',
        f'<td class="t">{what}<br><span class="tag {style}">{came}</span></td>',
        f'<td class="t">{escape(turn.reason.replace("_", " "))}</td>',
        f'<td class="t after">{after}</td>',
        f'<td class="why">{escape(turn.sentence)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _grid(found: Backtest) -> str:
    grid = found.grid
    if grid is None:
        return ""
    heads = ("consecutive", "cooldown", "decay", "critical decay", found.score_name, "retrains", "")
    rows = []
    for tried in grid.first_part:
        cells = [*settings(tried), shown(found, tried.score), str(tried.retrains)]
        inside = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(_tr(f'{inside}<td class="t">{mark(tried, grid)}</td>', own=tried is grid.chosen))
    head = "".join(f'<th scope="col">{escape(name.replace("_", " "))}</th>' for name in heads)
    by_chosen, by_own = grid.rest_retrains
    rest = (
        f"Chosen on the first {grid.first_windows} windows. On the other {grid.rest_windows}, which had no "
        f"say: {shown(found, grid.rest_chosen)} with {by_chosen} retrains; the model's own settings "
        f"{shown(found, grid.rest_own)} with {by_own}."
    )
    return (
        f'<section><h2>Other settings of the trigger</h2><p class="soft">{escape(rest)}</p>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        "</section>"
    )


def _tr(cells: str, *, own: bool) -> str:
    return f'<tr class="own">{cells}</tr>' if own else f"<tr>{cells}</tr>"
