"""A run: what is computed, named, and keyed by everything that can change its result."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field

from featurestore.ids import digest
from featurestore.spec import Frozen
from recommender.base import FitReport
from recommender.evaluation.strata import Stratum
from recommender.features import Control
from recommender.hgpo.reading import PolicyReading

Form: TypeAlias = Literal["plain", "text", "shuffled", "random", "both", "tuned"]
"""What a model reads besides interactions. ``plain``: nothing. ``text``: vectors of the items' texts.
``shuffled`` and ``random``: its controls. ``both``: vectors of the users' texts too; these read validation
events, so the epoch that validation chooses may be wrong. ``tuned``: vectors of a tuned decoder, which lie
beside the lists that the setting ``teacher`` names, see `study.llmgr_tunings`."""
FORMS: Final[tuple[Form, ...]] = ("plain", "text", "shuffled", "random", "both", "tuned")


class Run(Frozen):
    """One model, trained once.

    Attributes:
        dataset: One of `study.datasets`.
        model: A file in ``recommender/models``.
        form: See `Form`.
        variant: A word for settings that a table shows side by side; empty for the usual ones.
        settings: Of the model, as text; defaults for the rest.
        seed: Of everything random.
        max_minutes: Training ends after this long, and what is there is measured; None: when it converges.
    """

    dataset: str
    model: str
    form: Form = "plain"
    variant: str = ""
    settings: dict[str, str] = Field(default_factory=dict[str, str])
    seed: int = 0
    max_minutes: float | None = None

    @property
    def label(self) -> str:
        """Form and variant in one word."""
        return f"{self.form}-{self.variant}" if self.variant else self.form

    @property
    def name(self) -> str:
        """What ``--only`` matches: ``colakg-lastfm/lightgcn/text/seed-0``."""
        return f"{self.dataset}/{self.model}/{self.label}/seed-{self.seed}"

    @property
    def control(self) -> Control:
        """What is done to the vectors first."""
        return self.form if self.form in {"shuffled", "random"} else "none"  # type: ignore[return-value]

    def key(self, code: str, data: str) -> str:
        """Identity of the result: another code, run or data set has another one."""
        return digest([code, self.model_dump(mode="json"), data])


class GatePart(Frozen):
    """How far texts enter the nodes of one part.

    Attributes:
        part: Such as ``items 10-49``, by training degree.
        num_nodes: Nodes in it.
        means: Of each layer, the mean share of its own vector that a node keeps.
    """

    part: str
    num_nodes: int
    means: tuple[float, ...]


class Record(Frozen):
    """What a run gave.

    Attributes:
        key: See `Run.key`.
        run: The run.
        code: Version of the code, see `study.code_version`.
        data: Digest of the data set, see `study.datasets`.
        config: All settings, defaults filled in.
        versions: Package → version.
        threads: Of torch.
        fit: How training went.
        stopped_minutes: Minutes after which ``max_minutes`` ended training; None if it ended by itself.
        validation: Metric → mean over users of the validation part.
        test: Metric → mean over users of the test part.
        strata: Of the test part, by degree of items and of users.
        ranks: Digest of the ranks that lie beside the record.
        gates: Of models that have gates: how far texts enter.
        policy: Of models that have a policy: what it learned.
    """

    key: str
    run: Run
    code: str
    data: str
    config: dict[str, Any]
    versions: dict[str, str]
    threads: int
    fit: FitReport
    stopped_minutes: float | None
    validation: dict[str, float]
    test: dict[str, float]
    strata: tuple[Stratum, ...]
    ranks: str
    gates: tuple[GatePart, ...] = ()
    policy: tuple[PolicyReading, ...] = ()


class DatasetFacts(Frozen):
    """What a table says of a data set.

    Attributes:
        data: Digest, see `study.datasets`.
        num_users: Users.
        num_items: Items.
        num_train: Pairs that train.
        num_valid: Pairs that validate.
        num_test: Pairs that test, those that a user had before left out.
    """

    data: str
    num_users: int
    num_items: int
    num_train: int
    num_valid: int
    num_test: int


def as_lines(value: Frozen) -> str:
    """JSON with one line for each attribute."""
    values: Mapping[str, Any] = json.loads(value.model_dump_json())
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in values.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
