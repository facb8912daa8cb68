"""A comparison as one HTML file: nothing is fetched, and everything is there without scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template

from homeostat.cli.commands.drift_compare import Comparison, Entry
from homeostat.cli.commands.drift_svg import picture
from homeostat.cli.commands.drift_table import MARKS, chance, missing, number, percent, ranked, sentence

_HEADS = (
    *("verdict", "column", "kind", "effect", "±", "p", "PSI", "chi²", "JS", "W"),
    *("missing", "unseen", "reason"),
)
_TEXTS = ("verdict", "column", "kind", "reason")


def page_of(found: Comparison) -> str:
    """The report: verdict, what is wrong with the columns themselves, alerts with pictures, all figures."""
    template = Template(files("homeostat.commands").joinpath("drift_page.html").read_text(encoding="utf-8"))
    entries, monitor = ranked(found), found.monitor
    heads = "".join(f'<th scope="col"{_side(name)}>{name}</th>' for name in _HEADS)
    return template.substitute(
        title=escape(f"{found.current} against {found.reference}"),
        verdict=found.verdict,
        verdict_text=MARKS[found.verdict][0].lower(),
        sentence=escape(_capital(sentence(found))),
        reference=escape(found.reference),
        current=escape(found.current),
        rows_before=f"{found.rows[0]:,}",
        rows_now=f"{found.rows[1]:,}",
        findings=_findings(found),
        alerts=_alerts([entry for entry in entries if entry.verdict == "alert"]),
        heads=heads,
        rows="\n".join(map(_row, entries)),
        alpha=monitor.alpha,
        min_effect=monitor.min_effect,
        max_unseen=percent(monitor.max_unseen),
        max_missing=percent(monitor.max_missing),
        drifted_share=percent(monitor.drifted_share),
        at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _findings(found: Comparison) -> str:
    if not found.schema:
        return ""
    items = "".join(
        f"<li><strong>{escape(item.column)}</strong> {item.kind.replace('_', ' ')} "
        f'<span class="soft">({item.severity})</span>: {escape(item.detail)}</li>'
        for item in found.schema
    )
    return f"<section><h2>The columns themselves</h2><ul>{items}</ul></section>"


def _alerts(entries: list[Entry]) -> str:
    if not entries:
        return ""
    cards = "".join(
        f"<article><h3>{escape(entry.name)}<small>{escape(entry.kind or '')}</small></h3>"
        f"<p>{escape(entry.figures.reason)}</p>{picture(entry)}</article>\n"
        for entry in entries
    )
    legend = '<span class="key ref"></span>reference<span class="key cur"></span>current'
    return f'<section><h2>Alerts</h2><p class="soft">{legend}</p><div class="cards">{cards}</div></section>'


def _row(entry: Entry) -> str:
    f = entry.figures
    cells = [
        f'<td class="t"><span class="tag {entry.verdict}">{MARKS[entry.verdict][0].lower()}</span></td>',
        f'<td class="t name">{escape(entry.name)}</td>',
        f'<td class="t">{escape(entry.kind or "-")}</td>',
        _cell(f.effect, number(f.effect)),
        _cell(f.ks_error, number(f.ks_error)),
        _cell(f.p_adjusted, chance(f.p_adjusted)),
        _cell(f.psi, number(f.psi)),
        _cell(f.chi2, number(f.chi2, 1)),
        _cell(f.js, number(f.js)),
        _cell(f.wasserstein, number(f.wasserstein)),
        _cell(f.missing_current, missing(entry)),
        _cell(f.unseen_share, percent(f.unseen_share)),
        f'<td class="why">{escape(f.reason)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: float | None, shown: str) -> str:
    return f'<td data-v="{"" if value is None else value}">{escape(shown)}</td>'


def _side(name: str) -> str:
    return ' class="t"' if name in _TEXTS else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
