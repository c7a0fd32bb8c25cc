"""What to call trained models that stand side by side: what they are, and in what they differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from recommender.saved import SavedConfig

_FUSION_SETTINGS: Final = ("fusion", "item_input")
"""Settings that say how item vectors enter a model."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is.

    Attributes:
        model: Name of the model.
        features: Vectors that it reads, such as ``item_cot.fused, else item_text and user_cot.fused``; None
            without.
        control: What was done to the vectors first; None if nothing.
        fusion: How they enter the model; None if it has no such setting, or reads none.
    """

    model: str
    features: str | None = None
    control: str | None = None
    fusion: str | None = None


def model_card(info: SavedConfig) -> ModelCard:
    """The card of a saved model."""
    of_items = f"{info.feature}, else {info.fallback}" if info.fallback else info.feature
    features = " and ".join(name for name in (of_items, info.user_feature) if name) or None
    fusion = next((str(info.config[name]) for name in _FUSION_SETTINGS if name in info.config), None)
    return ModelCard(
        model=info.model,
        features=features,
        control=None if info.control == "none" else info.control,
        fusion=fusion if features else None,
    )


def model_labels(infos: Sequence[SavedConfig]) -> list[str]:
    """A label of each: its model, its features and control, and the settings in which its rivals differ.

    Equal labels, of models that differ in what is not shown, end with the start of a digest; that of a model
    whose training was stopped ends with ``(interrupted)``.
    """
    labels = [_label(info, [other for other in infos if other.model == info.model]) for info in infos]
    counts = Counter(labels)
    told_apart = [
        f"{label} {info.config_digest[:8]}" if counts[label] > 1 else label
        for label, info in zip(labels, infos, strict=True)
    ]
    return [
        f"{label} (interrupted)" if info.interrupted else label
        for label, info in zip(told_apart, infos, strict=True)
    ]


def _label(info: SavedConfig, rivals: Sequence[SavedConfig]) -> str:
    card = model_card(info)
    own = _settings(info)
    differing = [name for name in own if any(_settings(rival).get(name) != own[name] for rival in rivals)]
    words = [word for word in (card.features, card.control) if word]
    words += [f"{name}={own[name]}" for name in differing]
    return f"{info.model} ({', '.join(words)})" if words else info.model


def _settings(info: SavedConfig) -> dict[str, object]:
    return {**info.config, "optimistic_validation": info.optimistic_validation}
