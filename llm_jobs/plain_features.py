"""Text features that need no prompt and no model, by name."""

from collections.abc import Mapping
from typing import Final, Protocol

from featurestore.features import FeatureVersion
from featurestore.progress import Progress
from featurestore.store import Store
from llm_jobs.plain_text import build_plain_texts
from llm_jobs.user_text import build_user_texts


class BuildTexts(Protocol):
    """Writes the texts of a feature, as far as they changed."""

    def __call__(self, store: Store, *, feature: str, progress: Progress) -> FeatureVersion:
        """See `llm_jobs.plain_text.build_plain_texts`."""
        ...


ITEM_TEXT: Final = "item_text"
PLAIN_FEATURES: Final[Mapping[str, BuildTexts]] = {
    ITEM_TEXT: build_plain_texts,
    "user_text": build_user_texts,
}
