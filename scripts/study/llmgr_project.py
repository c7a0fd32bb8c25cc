"""The project that LLMGR's decoder is tuned in: a copy of a data set's, with the nodes of a trained base.

It lies in ``.cache/llmgr/<data set>-<digest>``. ``tuning.json`` in it says what is done, so that what was
stopped goes on.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from featurestore.progress import Progress
from featurestore.reader import Release, open_store
from featurestore.store import Store
from featurestore.stores import connect
from recommender.experiment import TrainRequest, train_models
from recommender.saved import CONFIG_FILE, SavedModel, load_model, read_config
from scripts.study.datasets import ROOT, Dataset
from scripts.study.project_copy import run_in

PROJECTS: Final = ROOT / ".cache" / "llmgr"
BASE: Final = "gcsan"
_STATE: Final = "tuning.json"


@dataclass(frozen=True)
class TuningProject:
    """A project whose release holds nodes.

    Attributes:
        dataset: The data set.
        data: Digest of its data.
        folder: Of the project.
        told: Hears of epochs, steps and texts.
    """

    dataset: Dataset
    data: str
    folder: Path
    told: Progress

    @cached_property
    def base(self) -> SavedModel:
        """The trained base model that x and Z are of."""
        place = self.folder / "models" / BASE
        if not (place / CONFIG_FILE).exists() or read_config(place).interrupted:
            wanted = TrainRequest(BASE, {"monitor": self.dataset.monitor}, resume=True)
            report = train_models(self._release("production"), wanted, place, progress=self.told)
            if report.interrupted:
                raise KeyboardInterrupt
        return load_model(place)

    @cached_property
    def release(self) -> Release:
        """The release that holds the base's vectors; made if there is none."""
        state = self.state()
        if "release" not in state:
            run_in(self.folder, self.dataset, ("vectors", "--model", str(self.base.folder), "--name", BASE))
            run_in(self.folder, self.dataset, ("publish",))
            self.keep(release=self._release("production").number)
        return self._release(str(self.state()["release"]))

    @property
    def store(self) -> Store:
        """Its store."""
        return connect(str(self.folder / "store"))

    @property
    def texts(self) -> str:
        """The feature that titles are of."""
        assert self.dataset.item_feature is not None, f"{self.dataset.name} has no texts of items"
        return self.dataset.item_feature

    def state(self) -> dict[str, Any]:
        """What is done."""
        path = self.folder / _STATE
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def keep(self, **values: object) -> None:
        """Write down what was done."""
        fresh = self.folder / f"{_STATE}.fresh"
        fresh.write_text(json.dumps(self.state() | values, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.folder / _STATE)

    def publish(self) -> Release:
        """A release of what is in the store."""
        run_in(self.folder, self.dataset, ("publish",))
        return self._release("production")

    def _release(self, name: str) -> Release:
        return open_store(str(self.folder / "store")).release(name)
