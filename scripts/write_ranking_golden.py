"""Write tests/golden/ranking.json: a random ranking as ranx and RecTools measure it, for ours to agree with.

Both need numpy < 2 or numba, so they are no dependency of ours. Run it in an environment of its own, twice:

    pip install ranx==0.3.21     && python scripts/write_ranking_golden.py ranx
    pip install rectools==0.19.0 && python scripts/write_ranking_golden.py rectools
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "ranking.json"
NUM_USERS, NUM_ITEMS = 25, 40
CUTOFFS = (1, 5, 10)


def make_input() -> dict[str, Any]:
    """Scores without ties, seen and held-out items of every user."""
    generator = np.random.default_rng(20240229)
    scores = [generator.permutation(NUM_ITEMS).tolist() for _ in range(NUM_USERS)]
    seen, held_out = [], []
    popularity = 1.0 / np.arange(1, NUM_ITEMS + 1)
    for user in range(NUM_USERS):
        items = generator.choice(NUM_ITEMS, size=12, replace=False, p=popularity / popularity.sum())
        cut = 11 if user % 2 else 8
        seen.append(sorted(items[:cut].tolist()))
        held_out.append(sorted(items[cut:].tolist()))
    return {"scores": scores, "seen": seen, "held_out": held_out}


def ranked(data: dict[str, Any], user: int) -> list[int]:
    """Items that are not seen, best first."""
    order = np.argsort(-np.array(data["scores"][user])).tolist()
    return [item for item in order if item not in data["seen"][user]]


def by_ranx(data: dict[str, Any]) -> dict[str, Any]:
    """Per user: hit rate, recall, NDCG, MRR, MAP."""
    from ranx import Qrels, Run, evaluate

    users = [f"u{user:02}" for user in range(NUM_USERS)]
    qrels = Qrels({u: {str(i): 1 for i in data["held_out"][n]} for n, u in enumerate(users)})
    run = Run(
        {u: {str(i): float(data["scores"][n][i]) for i in ranked(data, n)} for n, u in enumerate(users)}
    )
    names = [f"{name}@{k}" for name in ("hit_rate", "recall", "ndcg", "mrr", "map") for k in CUTOFFS]
    return {name: evaluate(qrels, run, name, return_mean=False).tolist() for name in names}


def by_rectools(data: dict[str, Any]) -> dict[str, Any]:
    """MAP of every user; coverage and novelty of all lists."""
    import pandas as pd
    from rectools import Columns
    from rectools.metrics import MAP, CatalogCoverage, MeanInvUserFreq

    def pairs(lists: list[list[int]]) -> pd.DataFrame:
        rows = [(user, item) for user, items in enumerate(lists) for item in items]
        return pd.DataFrame(rows, columns=[Columns.User, Columns.Item])

    lists = [ranked(data, user) for user in range(NUM_USERS)]
    reco = pairs(lists).assign(**{Columns.Rank: [n for each in lists for n in range(1, len(each) + 1)]})
    train, test, catalog = pairs(data["seen"]), pairs(data["held_out"]), list(range(NUM_ITEMS))
    found: dict[str, Any] = {}
    for k in CUTOFFS:
        found[f"map@{k}"] = MAP(k=k).calc_per_user(reco, test).sort_index().tolist()
        found[f"coverage@{k}"] = CatalogCoverage(k=k, normalize=True).calc(reco, catalog)
        found[f"novelty@{k}"] = MeanInvUserFreq(k=k).calc(reco, train)
    return found


PEERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"ranx": by_ranx, "rectools": by_rectools}

if __name__ == "__main__":
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {"input": make_input()}
    peer = sys.argv[1]
    golden[peer] = {"version": version(peer), "values": PEERS[peer](golden["input"])}
    GOLDEN.write_text(json.dumps(golden) + "\n", encoding="utf-8")
