"""Pages of one file: a template and its values, made safe for hostile text.

What a page shows was written by shops, users and models. Values are escaped, and characters that HTML forbids
are shown as replaced ones. The templates forbid their pages to load anything.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

_CONTROLS: Final = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}


def render_page(template: str, values: Mapping[str, object]) -> str:
    """One HTML page.

    Args:
        template: A package and a Jinja template in it, such as ``llm_jobs/compare_page.html.jinja``. Pages
            import their common parts from ``featurestore/pages/page_parts.html.jinja``.
        values: What the template names; an absent one is an error.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_controls,
    )


def _source(template: str) -> str:
    package, _, path = template.partition("/")
    return (files(package) / path).read_text(encoding="utf-8")


def _without_controls(value: object) -> object:
    return value.translate(_CONTROLS) if type(value) is str else value
