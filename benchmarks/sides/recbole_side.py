"""RecBole as one side of a comparison; runs in an environment of its own, see `peer_environment`.

Training is `Trainer.fit` of one epoch without validation, checkpoint or progress bar, float32. A batch loader
may be cut after its first batches: every batch of an epoch has the same shape. Ranking is `Trainer.evaluate`
over all items. Its package switches autograd's anomaly detection on when it is imported; here it is off.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from serving import Measure, serve

SETTINGS = {
    "LightGCN": {"embedding_size": 64, "n_layers": 3, "reg_weight": 1e-4, "require_pow": True},
    "SASRec": {"hidden_size": 64, "n_layers": 2, "n_heads": 2, "attn_dropout_prob": 0.0, "loss_type": "CE"},
}
COMMON = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
    "metrics": ["Hit", "Recall", "NDCG"],
    "topk": [5, 10, 20],
    "valid_metric": "NDCG@10",
    "metric_decimal_place": 10,
    "train_batch_size": 2048,
    "epochs": 1,
    "eval_step": 0,
    "show_progress": False,
    "state": "ERROR",
    "use_gpu": False,
}


class FirstBatches:
    """A batch loader that ends after its first ``count`` batches."""

    def __init__(self, loader: Any, count: int) -> None:
        self._loader, self._count = loader, count

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._loader), self._count)

    def __len__(self) -> int:
        return self._count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def prepare(options: argparse.Namespace) -> Measure:
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer

    os.chdir(tempfile.mkdtemp())  # it writes logs into the working folder
    sys.argv = sys.argv[:1]  # and reads the command line
    settings = COMMON | SETTINGS[options.model] | {"data_path": str(options.data)}
    if options.model == "SASRec":
        settings |= {"MAX_ITEM_LIST_LENGTH": options.length, "train_neg_sample_args": None}
    config = Config(model=options.model, dataset="beauty", config_dict=settings)
    dataset = create_dataset(config)
    train_loader, _, test_loader = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train_loader.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    torch.autograd.set_detect_anomaly(False)
    rankings: dict[int, Any] = {}

    def epoch(batches: int | None = None) -> Mapping[str, Any]:
        loader = train_loader if batches is None else FirstBatches(train_loader, batches)
        trainer.fit(loader, verbose=False, saved=False, show_progress=False)
        return {"steps": len(loader), "samples_per_epoch": train_loader.sample_size}

    def use_vectors(folder: str) -> Mapping[str, Any]:
        import numpy as np

        for field, name in [(dataset.uid_field, "user"), (dataset.iid_field, "item")]:
            vectors = np.load(Path(folder) / f"{name}_vectors.npy", allow_pickle=False)
            tokens = dataset.token2id(field, [str(row) for row in range(len(vectors))])
            padded = np.zeros((len(vectors) + 1, vectors.shape[1]), np.float32)
            padded[tokens] = vectors
            setattr(model, f"restore_{name}_e", torch.from_numpy(padded))
        return {}

    def rank(users_per_batch: int) -> Mapping[str, Any]:
        if users_per_batch not in rankings:  # a loader keeps the batch size that it was made with
            config["eval_batch_size"] = users_per_batch * dataset.item_num
            rankings[users_per_batch] = type(test_loader)(config, test_loader.dataset, test_loader._sampler)  # noqa: SLF001
        start = time.perf_counter()
        metrics = trainer.evaluate(rankings[users_per_batch], load_best_model=False, show_progress=False)
        seconds = time.perf_counter() - start
        return {"users": test_loader.sample_size, "metrics": dict(metrics), "seconds": seconds}

    works = {"epoch": epoch, "use_vectors": use_vectors, "rank": rank}
    return lambda work, **request: works[work](**request)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(SETTINGS))
    parser.add_argument("--data", type=Path, required=True, help="Folder that holds beauty/beauty.inter.")
    parser.add_argument("--length", type=int, default=50, help="Longest history that SASRec reads.")
    arguments = parser.parse_args()
    serve(lambda: prepare(arguments))
