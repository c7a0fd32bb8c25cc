"""New projects: the commented ``featurestore.toml``, a folder of prompts, and what git should leave out."""

from pathlib import Path

from cli.config import CONFIG_FILE
from featurestore.errors import UsageError

CONFIG_TEMPLATE = """\
# A featurestore project. Keys that are commented out show their default or an example.

[store]
# Where features live: a folder (relative to this file) or s3://bucket/prefix.
uri = "store"

[ingest]
# table (parquet, jsonl, csv), amazon-2014, amazon-2018, amazon-2023, movielens-100k or movielens-1m.
format = "table"
# Files, relative to this file. Items or interactions must be there; users are optional.
# items = "items.parquet"
# users = "users.parquet"
# interactions = "interactions.parquet"

# Our column = the file's column, where the names differ.
[ingest.columns.items]
# description = "plot"
[ingest.columns.users]
# user_id = "uid"
[ingest.columns.interactions]
# timestamp = "time"

# Sessions in the place of users, for models that read sessions.
[ingest.sessions]
# none (interactions as they are), user (each user's sequence) or gap (a pause ends a session).
by = "none"
# gap: the longest pause inside a session.
gap_seconds = 1800
# user, gap: rarer items and shorter sessions are left out; of longer ones the newest events are kept.
per_item = 5
shortest = 3
longest = 50

[ingest.split]
# leave_one_out (each user's last event tests, the one before validates), official (a split column of the
# data), temporal (one cut in time for all), ratio (each user's newest share) or none.
method = "leave_one_out"
# temporal, ratio: share of events. official without a validation part: share cut from each user's training.
valid_share = 0.1
# temporal, ratio: share of events.
test_share = 0.1
# Seed of the validation cut of official.
seed = 0

[generate]
# What `featurestore generate` runs if --prompt and --model are not given.
# prompt = "item_cot"
# model = "deepseek-r1-14b"
# Stop when more than this share of the rows fails.
skip_budget = 0.2
# Requests for one answer, the first included.
max_attempts = 2
# Finished answers are on disk after so many seconds at most.
flush_seconds = 5.0
# Characters of each written field at most; unset, the prompt's own limits hold.
# max_field_chars = 400
# Training events of a user that a user prompt reads at most.
history_size = 20
# Prometheus text file that says how the run stands (docs/operations.md).
# metrics_file = "generate.prom"
# Price of one GPU, or of a machine without one, for an hour, in any currency.
# price_per_gpu_hour = 2.5

# How language models run on this machine (docs/engines.md); nothing here changes what a text says.
[engine]
# Requests answered at once; unset, what suits the engine and the machine.
# max_num_seqs = 64
# Tokens of prompt and answer together; unset, the model's entry decides.
# max_model_len = 4096
# Key-value cache on CPU, GiB; on a GPU vLLM takes what gpu_memory_share leaves.
kv_cache_gib = 2.0
# Blocks of vLLM's cache whatever memory there is, for measurements.
# kv_cache_blocks = 1000
# Share of each GPU's memory that vLLM may take.
gpu_memory_share = 0.9
# GPUs that share one copy of the model, and copies of it.
tensor_parallel_size = 1
data_parallel_size = 1
# dummy: random weights, for measurements of speed.
load_format = "auto"
# How long a server may take for one answer.
request_seconds = 600.0

[encode]
# Encoder of `featurestore embed`: a name of `featurestore models`.
encoder = "minilm"
# Texts encoded at once.
batch_size = 64

[graph]
# Neighbours of each node in the kNN graph.
num_neighbors = 20
# How neighbours become edges (docs/graphs.md): cosine or binary weights; directed, union or mutual.
# shape = { weights = "binary", self_loops = true, symmetry = "directed", max_in_degree = 200 }
# How neighbours are found; exact unless an approximate index pays off (`featurestore graph --search auto`).
# search = { method = "hnsw", search_effort = 128 }

# Semantic ids (docs/semantic-ids.md); changes take effect with new codebooks.
[semantic_ids]
# Codes of each item, coarse to fine, and how many codes each level chooses from: a power of two.
num_levels = 3
codebook_size = 256
# Partial codes kept at each level while an item is coded; 1 takes the nearest one, level by level.
beam_size = 1
# residual_quantizer (k-means over residuals), or rq_vae (TIGER's; the extra train trains it).
quantizer = "residual_quantizer"
# Rounds of k-means per level, for first codebooks and for those that start from earlier ones.
iterations = 10
warm_iterations = 2

# What must hold before `featurestore publish` moves an alias (docs/gates.md).
[gates]
# Share of entities that must have a good text, per text feature.
min_coverage = 0.0
# The same by degree, the number of distinct partners in training events.
# strata = [{ name = "long tail", max_degree = 49, min_coverage = 0.95 }]
# Share of a feature's rows that may have failed, and of those in which the model declined.
max_failure_rate = 0.2
max_refusal_rate = 0.05
# Share of good texts in which a model may think aloud, and that may repeat another text.
max_think_leaks = 0.005
max_duplicate_text_share = 0.5
# Against the release before: share of entities that may lose their text, ...
max_lost_texts = 0.05
# ... share of vectors that may move though text and encoder are the same, ...
max_unexplained_moves = 0.0
# ... where both have at least so many rows, how far vectors may drift, ...
min_compared = 100
min_centroid_cosine = 0.9
max_mmd = 0.15
# ... and share of nearest neighbours and of semantic ids that may change.
max_knn_churn = 0.3
max_code_churn = 0.1
# Graphs: share of edges that are not of the vectors beside them.
max_stale_edges = 0.0
# Graphs: share of nodes without an edge, of edges that end in hubs, of nodes that hang together.
max_isolated_share = 0.05
max_hub_edge_share = 0.7
min_connected_share = 0.5
# Share of items that may share all their codes with another one.
max_code_collisions = 0.5
# Features or views without which no alias is moved: what readers count on, such as lists of a model.
# required_features = ["lightgcn.top"]
# A trained model, relative to this file, and the share of its validation metric that new vectors may cost it.
# probe = "models/probe"
max_probe_drop = 0.05

# Models and encoders of your own, beside the packaged ones: one section each, such as
# [models.my-model]
# folder = "/path/to/weights"
"""

_GITIGNORE = """\
# The store and local job logs: made by featurestore, large, and not source.
/store/
/.featurestore/
"""


def create_project(folder: Path) -> list[Path]:
    """Write a new project's files. A ``.gitignore`` or prompts that are there already stay as they are.

    Args:
        folder: Made if it does not exist.

    Returns:
        The files written.

    Raises:
        UsageError: If the folder holds a ``featurestore.toml`` already.
    """
    config = folder / CONFIG_FILE
    if config.exists():
        raise UsageError(
            f"{config} exists already and is not overwritten.",
            hint="Edit it, or name another folder: featurestore init FOLDER.",
        )
    contents = {
        config: CONFIG_TEMPLATE,
        folder / ".gitignore": _GITIGNORE,
        folder / "prompts" / ".gitkeep": "",
    }
    written = [path for path in contents if not path.exists()]
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents[path], encoding="utf-8")
    return written
