"""Pages of one file: a template and its values, made safe for hostile text.

What a page shows was written by shops, users and models. Values are escaped, and characters that HTML forbids
are shown as replaced ones. The templates forbid their pages to load anything.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined, Template

_CONTROLS: Final = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}


def render_template(package: str, template: str, values: Mapping[str, object]) -> str:
    """One HTML page.

    Args:
        package: Package that holds the template, such as ``llm_jobs``.
        template: File name of a Jinja template in it.
        values: What the template names; an absent one is an error.
    """
    return _template(package, template).render(values)


@lru_cache
def _template(package: str, template: str) -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=False, finalize=_without_controls
    )
    return environment.from_string((files(package) / template).read_text(encoding="utf-8"))


def _without_controls(value: object) -> object:
    return value.translate(_CONTROLS) if type(value) is str else value
