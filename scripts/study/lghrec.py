"""The runs of docs/results/lghrec.md, in the order in which they tell most.

Nine backbones, each as it is, with semantic IDs (vectors of texts, by fusion=concat), with HGPO, and with
both; and on LightGCN what HGPO is measured against. LGHRec without its contrast is the backbone to the bit,
so the first two are runs of the backbones themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scripts.study.core import AMAZON, LASTFM, declare
from scripts.study.runs import Form, Run

MODEL: Final = "lghrec"
BACKBONES: Final = (
    "lightgcn",
    "xsimgcl",
    "sgl",
    "simgcl",
    "ncl",
    "lightgcl",
    "directau",
    "ngcf",
    "bpr_mf",
)
SEMANTIC_ID: Final = "concat"
OTHERS: Final = ("recmind", "rlmrec", "alpharec")
FIXED: Final = "fixed-temperature"
FIXED_GRID: Final[Mapping[str, str]] = {
    "0.1": f"{FIXED}-0.1",
    "0.2": FIXED,  # the default of the model's file
    "0.5": f"{FIXED}-0.5",
}
"""Constant τ → its variant; validation chooses among them, see `study.lghrec_fixed`."""
NO_POLICY: Final = "no-policy"
NO_GROUPS: Final = "no-groups-no-harmony"
"""One group of all: the variance between groups that harmonisation lowers is 0 then."""
CONTROLS: Final[Mapping[str, Mapping[str, str]]] = {
    FIXED: {"temperature_by": "fixed"},
    "ideal-temperature": {"temperature_by": "ideal"},
    "learned-temperature": {"temperature_by": "learned"},
    "uniform-negatives": {"negatives_by": "uniform"},
    "hard-negatives": {"negatives_by": "hard"},
    NO_POLICY: {"temperature_by": "fixed", "negatives_by": "in_batch"},
    NO_GROUPS: {"groups": "none", "num_groups": "1"},
    "no-harmony": {"harmony_weight": "0"},
    "no-entropy": {"entropy_weight": "0"},
}
"""What HGPO is measured against, on LightGCN, and what that is in settings."""
OTHER_FIXED: Final[Mapping[str, Mapping[str, str]]] = {
    variant: {"temperature_by": "fixed", "temperature": value}
    for value, variant in FIXED_GRID.items()
    if variant not in CONTROLS
}
"""Constants besides the default one."""
RELEASED: Final[Mapping[str, Mapping[str, str]]] = {
    "released-forms": {
        "pools": "items",
        "advantage": "whitened",
        "choice_head": "slot",
        "choice_chance": "summed",
        "temperature_form": "clamped",
        "temperature_min": "0.01",
        "temperature_max": "2",
        "state_of": "layer_zero",
        "loss_negatives": "in_batch",
        "harmony_weight": "0",
    },
}
"""All forms of the released code that are settings, together."""
SENSITIVITY: Final[Mapping[str, Mapping[str, str]]] = {
    "weight-0.05": {"contrast_weight": "0.05"},
    "weight-0.2": {"contrast_weight": "0.2"},
    "chosen-16": {"num_chosen": "16"},
    "chosen-32": {"num_chosen": "32"},
    "groups-3": {"groups": "quantile", "num_groups": "3"},
    "groups-5-quantile": {"groups": "quantile"},
    "groups-10": {"groups": "quantile", "num_groups": "10"},
    "w5-0.3": {"temperature_penalty": "0.3"},
    "w5-5": {"temperature_penalty": "5"},
}
LEARNING: Final[Mapping[str, Mapping[str, str]]] = {
    "policy-rate-1e-3": {"policy_learning_rate": "0.001"},
    "policy-rate-1e-2": {"policy_learning_rate": "0.01"},
    "policy-rate-1e-2-entropy-0.01": {"policy_learning_rate": "0.01", "entropy_weight": "0.01"},
    "policy-rate-1e-2-entropy-0.01-buffer-1024": {
        "policy_learning_rate": "0.01",
        "entropy_weight": "0.01",
        "buffer_size": "1024",
    },
}
"""Policies that may leave their beginning further behind than at the released code's rate and entropy."""
LIGHTER: Final = "0.01"
"""A contrast's weight at which a backbone's own loss leads."""
_SEEDS: Final = (0, 1, 2)
_ELSEWHERE: Final = ("agent4rec-ml1m", AMAZON[0])


def minimum() -> list[Run]:
    """What the results stand on."""
    runs: list[Run] = []
    for seed in _SEEDS:
        runs += (run for backbone in BACKBONES for run in _four(LASTFM, backbone, seed))
        runs += _controls(LASTFM, CONTROLS, seed)
        runs += _controls(LASTFM, OTHER_FIXED, seed)
        runs += (declare(LASTFM, model, "text", seed=seed) for model in OTHERS)
    for dataset in _ELSEWHERE:
        runs += (run for backbone in BACKBONES[:2] for run in _four(dataset, backbone, 0))
        runs += (declare(dataset, model, "text", seed=0) for model in OTHERS)
    return [*runs, *_controls(LASTFM, SENSITIVITY, 0)]


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    runs = [_both(each, lighter(each), {"contrast_weight": LIGHTER}) for each in BACKBONES]
    runs += [*_controls(LASTFM, LEARNING, 0), *_controls(LASTFM, RELEASED, 0)]
    runs += (_both(each, without_policy(each), CONTROLS[NO_POLICY]) for each in BACKBONES[1:])
    for dataset in (*_ELSEWHERE, AMAZON[1]):
        runs += (run for backbone in BACKBONES for run in _four(dataset, backbone, 0))
    return [*runs, _with(LASTFM, "mixgcf", "plain", 0), _with(LASTFM, "mixgcf", "text", 0)]


def with_hgpo(backbone: str) -> str:
    """The variant of LGHRec that has a backbone."""
    return backbone.replace("_", "-")


def _four(dataset: str, backbone: str, seed: int) -> Iterator[Run]:
    """A backbone as it is, with semantic IDs, with HGPO, with both."""
    yield declare(dataset, backbone, seed=seed)
    concat = {"fusion": "concat"}
    yield declare(dataset, backbone, "text", seed=seed, variant=SEMANTIC_ID, settings=concat)
    yield _with(dataset, backbone, "plain", seed)
    yield _with(dataset, backbone, "text", seed)


def lighter(backbone: str) -> str:
    """The variant of LGHRec whose contrast weighs `LIGHTER`."""
    return f"{with_hgpo(backbone)}-weight-{LIGHTER}"


def without_policy(backbone: str) -> str:
    """The variant of LGHRec whose contrast nobody steers: constant τ, negatives of the batch."""
    return NO_POLICY if backbone == BACKBONES[0] else f"{with_hgpo(backbone)}-{NO_POLICY}"


def _both(backbone: str, variant: str, settings: Mapping[str, str]) -> Run:
    """A backbone on colakg-lastfm with both, and one thing other."""
    return declare(
        LASTFM, MODEL, "text", seed=0, variant=variant, settings={"backbone": backbone} | dict(settings)
    )


def _with(dataset: str, backbone: str, form: Form, seed: int) -> Run:
    settings = {"backbone": backbone}
    return declare(dataset, MODEL, form, seed=seed, variant=with_hgpo(backbone), settings=settings)


def _controls(dataset: str, variants: Mapping[str, Mapping[str, str]], seed: int) -> Sequence[Run]:
    """LightGCN with both, and one thing other."""
    runs = [
        declare(dataset, MODEL, "text", seed=seed, variant=name, settings=settings)
        for name, settings in variants.items()
    ]
    if variants is CONTROLS:
        runs += [_with(dataset, "lightgcn", "shuffled", seed), _with(dataset, "lightgcn", "random", seed)]
    return runs
