"""Names that are judged when they are given: a spec would judge them only when all work is done."""

from pydantic import TypeAdapter, ValidationError

from featurestore.errors import UsageError
from featurestore.spec import Name


def require_name(name: str, of: str) -> None:
    """Refuse what can be no part of table names and file names.

    Args:
        name: Wanted.
        of: What it is to name, such as ``a feature``.

    Raises:
        UsageError: If it is no name.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name {of}.",
            hint="Use letters, digits, - and _, at most 64, starting with a letter or digit.",
        ) from None
