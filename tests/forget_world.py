"""A store in which everything that can hold something about a user does so, for tests of forgetting."""

from functools import cache
from pathlib import Path

import polars as pl
import pyarrow as pa
from generation_world import PROMPTS, run
from store_samples import ENCODER, add_graph, add_texts, add_vectors

from featurestore import schema
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.ingest import IngestRequest, ingest
from featurestore.jobs.answers import AnswerCache, CachedAnswer
from featurestore.jobs.log import RunLog
from featurestore.jobs.receipts import write_segment
from featurestore.jobs.runcard import find_run, write_run_card
from featurestore.releases.publish import publish
from featurestore.spec import RecommendationsSpec, table_name
from featurestore.splits import current_split
from featurestore.store import Store
from llm_jobs.embed import embed
from llm_jobs.encoders.hashing import HashingEncoder
from llm_jobs.prompt import Prompt, load_prompt

BARTHOLOMEW, LIONEL = "bartholomew-77", "lionel-0815"
OTHERS = tuple(f"other-user-{n}" for n in range(4))
USERS = (BARTHOLOMEW, LIONEL, *OTHERS)
ITEMS = tuple(f"item{n:02d}" for n in range(12))
POLICY = GatePolicy(max_duplicate_text_share=1.0)


@cache
def user_cot() -> Prompt:
    """The packaged prompt over users."""
    return load_prompt(PROMPTS / "user_cot.toml")


def events(users: tuple[str, ...] = USERS) -> pl.DataFrame:
    """Five events a user, with reviews; one row breaks the contract and goes to the quarantine."""
    rows = [
        {
            "user_id": user,
            "item_id": ITEMS[(number + place) % len(ITEMS)],
            "rating": "5",
            "review": f"{user} says: nice",
            "timestamp": str(1000 * place),
        }
        for number, user in enumerate(users)
        for place in range(5)
    ]
    broken = [{**rows[0], "user_id": user, "rating": "many"} for user in users[:1]]
    return pl.DataFrame([*rows, *broken])


def ingest_events(store: Store, folder: Path, users: tuple[str, ...] = USERS) -> None:
    """Ingest the items and the events of some users."""
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"item_id": ITEMS, "title": [f"Kettle {i}" for i in ITEMS]}).write_parquet(
        folder / "items.parquet"
    )
    events(users).write_csv(folder / "events.csv")
    files = {"items": folder / "items.parquet", "interactions": folder / "events.csv"}
    ingest(store, IngestRequest(files=files))


def add_lists(store: Store, release: int, users: tuple[str, ...] = USERS) -> None:
    """Stored recommendations of a model that learned from a release."""
    spec = RecommendationsSpec(
        feature="toy",
        view="top",
        entity="user",
        model="toy",
        config_digest="0" * 32,
        release=str(release),
        top_k=1,
    )
    columns = [list(users), ["item00"] * len(users), [0] * len(users), [1.0] * len(users)]
    store.replace(table_name(spec), pa.table(columns, schema=schema.RECOMMENDATIONS))
    FeatureRegistry(store).register(spec)


def fill(store: Store, work: Path) -> None:
    """Two releases of everything: sources, texts, vectors, graphs, lists."""
    ingest_events(store, work / "data")
    run(store, work, prompt=user_cot())
    embed(store, feature="user_cot", view="fused", encoder=HashingEncoder(ENCODER))
    add_graph(store, FeatureRegistry(store).head("vector", "user_cot", "fused").spec, sorted(USERS))
    add_item_texts(store)
    publish(store, gates=POLICY)
    add_lists(store, 1)
    publish(store, gates=POLICY)


def add_item_texts(store: Store) -> None:
    """Item texts that read reviews, with their vectors and graph, and item texts that read none."""
    split = current_split(store)
    assert split is not None
    texts = {item: f"People say {item} is nice." for item in ITEMS}
    read = add_texts(store, texts, feature="item_reviews", event_set=split.event_set())
    vectors = add_vectors(store, read, ITEMS, event_set=split.event_set())
    add_graph(store, vectors, ITEMS, event_set=split.event_set())
    add_texts(store, texts, feature="item_plain")


def leave_traces(store: Store, work: Path) -> None:
    """What interrupted and failed runs leave behind: a log, a segment, an error message, an answer."""
    table = FeatureRegistry(store).head("text", "user_cot", "fused").table
    rows = [{"id": user, "run_id": "r", "text": f"about {user}"} for user in (BARTHOLOMEW, OTHERS[0])]
    log = RunLog(work / "logs" / table, "20260101T000000000-aaaaaa-000001")
    for row in rows:
        log.append(row)
    log.flush()
    log.close()
    answers = {"a" * 32: CachedAnswer(f"{BARTHOLOMEW} again", "stop", 1, 1)}
    write_segment(store.objects, "lost-run", "s1", "a1", [(table, row) for row in rows], answers=answers)
    card = find_run(store, None)
    write_run_card(
        store,
        card.model_copy(
            update={"run_id": "20260101T000000000-bbbbbb", "error": f"no row of '{BARTHOLOMEW}'"}
        ),
    )
    graph = FeatureRegistry(store).head("graph", "user_cot", "fused").table
    store.objects.put_new(f"graphs/{graph}/000001.candidates.arrow", f"nodes: {BARTHOLOMEW}".encode())
    with AnswerCache(store, run_id="r") as cache:
        cache.add("b" * 32, CachedAnswer("a rejected answer about bartholomew", "stop", 1, 1))


def bytes_of(store: Store, work: Path) -> dict[str, bytes]:
    """Every file of the store and of the work folder."""
    found = {path: store.objects.read(path) for path in store.objects.sizes("")}
    return found | {str(path): path.read_bytes() for path in (work / "logs").rglob("*") if path.is_file()}


def naming(store: Store, work: Path, *needles: str) -> list[str]:
    """Files that hold one of some strings."""
    return sorted(
        path for path, data in bytes_of(store, work).items() if any(each.encode() in data for each in needles)
    )
