import jinja2
import pytest
from markupsafe import Markup

from homeostat.figures import html


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path with one template."""
    folder = tmp_path / "pages_for_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html").write_text("<p>{{ text }}</p>\n")
    monkeypatch.syspath_prepend(tmp_path)
    html._environment.cache_clear()
    yield "pages_for_test"
    html._environment.cache_clear()


def test_values_are_escaped(package):
    assert html.render(package, "page.html", text="<script>") == "<p>&lt;script&gt;</p>"


def test_markup_is_left_as_it_is(package):
    assert html.render(package, "page.html", text=Markup("<b>1</b>")) == "<p><b>1</b></p>"


def test_a_name_that_the_context_lacks_is_an_error(package):
    with pytest.raises(jinja2.UndefinedError, match="text"):
        html.render(package, "page.html")
