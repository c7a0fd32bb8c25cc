"""Pages and reports that commands write."""

from pathlib import Path

from featurestore.errors import UsageError


def check_page(page: Path) -> None:
    """Refuse, before any work is done, a page that cannot be written.

    Raises:
        UsageError: If its folder does not exist, or it is a folder itself.
    """
    if not page.parent.is_dir():
        raise UsageError(
            f"{page} cannot be written: there is no folder {page.parent}.",
            hint="Make it, or name another file.",
        )
    if page.is_dir():
        raise UsageError(f"{page} is a folder.", hint="Name a file in it.")
