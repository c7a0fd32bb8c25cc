"""Prompt templates: a Jinja sandbox in which a missing name is an error and data cannot close its block.

A value is put into a template as one line of text: an absent or blank one as ``None``, a list joined with
``; ``. Angle brackets that would open or close the data block are replaced, so hostile text stays inside.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment

from featurestore.errors import UsageError

TEMPLATE_VERSION = 1
"""Raised when equal templates and equal values would give another text."""

ABSENT = "None"
_DELIMITER = re.compile("[<\ufe64\uff1c](?=\\s{0,8}[/\uff0f]?\\s{0,8}data\\b)", re.IGNORECASE)
"""What opens or closes the data block, in full width too."""


def as_line(value: object) -> object:
    """One line of text for a template value; Jinja's own undefined values pass through and fail loudly."""
    if isinstance(value, StrictUndefined):
        return value
    if isinstance(value, list | tuple):
        value = "; ".join(str(part) for part in value)
    text = " ".join(str(value).split()) if value is not None else ""
    return _DELIMITER.sub("\u2039", text) or ABSENT


_ENVIRONMENT = SandboxedEnvironment(
    undefined=StrictUndefined,
    finalize=as_line,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


@lru_cache(maxsize=256)
def variables_of(source: str) -> frozenset[str]:
    """Names that a template reads from outside.

    Raises:
        UsageError: If the template is no valid Jinja.
    """
    try:
        return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(source)))
    except TemplateError as error:
        raise UsageError(
            f"the template is not valid Jinja: {_told(error)}.", hint=_first_line(source)
        ) from error


def fill(source: str, values: Mapping[str, object]) -> str:
    """The template with its values, without blank lines at its ends.

    Raises:
        UsageError: If the template reads a name that ``values`` lacks, or does what the sandbox forbids.
    """
    try:
        return _compiled(source).render(values).strip()
    except TemplateError as error:
        raise UsageError(
            f"the template cannot be rendered: {_told(error)}.", hint=_first_line(source)
        ) from error


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def _told(error: TemplateError) -> str:
    return (error.message or type(error).__name__).rstrip(".")


def _first_line(source: str) -> str:
    lines = source.strip().splitlines()
    return f"The template begins with: {lines[0][:80]}" if lines else "The template is empty."
