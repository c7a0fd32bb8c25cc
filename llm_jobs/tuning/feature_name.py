"""Names of features that a tuning writes: judged before hours go by, not by the spec at its end."""

from pydantic import TypeAdapter, ValidationError

from featurestore.errors import UsageError
from featurestore.spec import Name


def check_feature_name(name: str) -> None:
    """Refuse what no feature can be called.

    Raises:
        UsageError: If it is no name.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name a feature.",
            hint="Use letters, digits, - and _, at most 64, starting with a letter or digit.",
        ) from None
