"""HTML pages from Jinja2 templates that lie in a package, next to the code that fills them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, **context: Any) -> str:
    """Return a template of a package, filled with ``context``.

    Values are escaped for HTML; pass ``markupsafe.Markup`` for what is HTML (or SVG) already. Jinja2 is
    imported on the first call, so that importing this module costs nothing.

    Parameters
    ----------
    package
        Dotted name of the package whose folder holds the template, such as ``homeostat.cli.commands``.
    template
        The template's file name, such as ``drift_page.html``.

    Raises
    ------
    jinja2.TemplateNotFound
        The package has no such template.
    jinja2.UndefinedError
        The template uses a name that ``context`` lacks.
    """
    return _environment(package).get_template(template).render(context)


@cache
def _environment(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
