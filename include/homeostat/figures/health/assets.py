"""The files of the pages, and the headers to serve them with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from homeostat._version import __version__
from homeostat.figures.html import render

_JS, _CSS = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
#: The files of the pages, with their media types.
ASSETS: Mapping[str, str] = {
    "health.js": _JS,
    "fleet.js": _JS,
    "model.js": _JS,
    "charts.js": _JS,
    "heatmap.js": _JS,
    "dom.js": _JS,
    "health.css": _CSS,
    "levels.css": _CSS,
    "vendor/uplot.js": _JS,
    "vendor/uplot.css": _CSS,
}
#: Scripts and styles of this server only; nothing inline. ``{ancestors}`` may show the page in a frame.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)


def page(*, assets: str, title: str, home: str = "", tokens: bool = False) -> str:
    """Return the shell of the pages. It holds no data: its script loads that from ``health/models``.

    Parameters
    ----------
    assets
        The folder of the assets, relative to the page.
    title
        Names the service that shows the page.
    home
        A page to go back to, relative to the page; "" for none.
    tokens
        Whether the script may ask for a bearer token.
    """
    return render(
        __package__, "page.html", assets=assets, title=title, home=home, tokens=tokens, version=__version__
    )


@cache
def asset(name: str) -> bytes:
    """Return a file of :data:`ASSETS`; KeyError for any other name."""
    ASSETS[name]  # only these: the name comes from a request
    return files(__package__).joinpath(name).read_bytes()
