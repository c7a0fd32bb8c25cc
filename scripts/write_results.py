"""Write docs/results/speed.md from the records beside it; `tests/docs` compares the two."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
BENCHMARKS = ROOT / "benchmarks"
DOCUMENT = RESULTS / "speed.md"
_METRICS = ("hr@10", "ndcg@10", "recall@20", "ndcg@20")
_HEAD = """# Speed, and the main path

Written by `make docs` from the JSON records in this folder: do not edit it by hand.
"""
_SPEED = """## Against peers

`make bench` measures each ratio against its peer in one run, in alternating pairs; above 1 means that we are
better. The range is over the pairs.
"""
_PATHS = """## The main path on public data

`python examples/real_data/run.py DATASET --project FOLDER` runs each step as a `featurestore` command.
Seconds are of two shared CPU cores, the start of the process included; they are no benchmark.
"""


def render() -> str:
    """The whole document."""
    return "\n".join([_HEAD, _SPEED, *_benchmarks(), "", _PATHS, *_main_paths()]) + "\n"


def _records(folder: str) -> Iterator[dict[str, Any]]:
    for path in sorted((RESULTS / folder).glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _benchmarks() -> Iterator[str]:
    yield "| benchmark | what | peer | ours | peer's | unit | ratio (range) | target |"
    yield "|---|---|---|---|---|---|---|---|"
    protocols: list[str] = []
    for record in _records("benchmarks"):
        facts = "".join(f"; {name}: {value}" for name, value in record["facts"].items())
        versions = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
        protocols.append(f"* `{record['benchmark']}`: {record['protocol']}{facts}; {versions}.")
        for claim in record["claims"]:
            low, high = min(claim["ratios"]), max(claim["ratios"])
            figures = f"{claim['ours']:,.4g} | {claim['theirs']:,.4g} | {claim['unit']}"
            ratio = f"**{claim['ratio']:.3f}** ({low:.3f} to {high:.3f})"
            who = f"{record['benchmark']} | {claim['name']} | {claim['peer']}"
            yield f"| {who} | {figures} | {ratio} | {_verdict(claim)} |"
    yield ""
    yield from protocols
    yield from (f"* `{name}`: not run." for name in _not_run())


def _not_run() -> Iterator[str]:
    """Benchmarks of which there is no record; one script may write several."""
    recorded = [path.stem for path in (RESULTS / "benchmarks").glob("*.json")]
    for path in sorted(BENCHMARKS.glob("*.py")):
        has_record = any(name == path.stem or name.startswith(f"{path.stem}_") for name in recorded)
        if not has_record and "__main__" in path.read_text(encoding="utf-8"):
            yield path.stem


def _verdict(claim: dict[str, Any]) -> str:
    if claim["target"] is None:
        return "none"
    return f"{claim['target']:g}, {'reached' if claim['ratio'] >= claim['target'] else '**not reached**'}"


def _main_paths() -> Iterator[str]:
    for record in _records("main-path"):
        yield f"### {record['dataset']}\n"
        yield "| command | seconds | outcome |"
        yield "|---|---|---|"
        for step in record["steps"]:
            yield f"| `{step['command']}` | {step['seconds']:,} | {_outcome(step['outcome'])} |"
        yield from (f"| `featurestore {step}` | not run | |" for step in record["not_run"])
        yield ""
        yield from _test_metrics(record["steps"])


def _outcome(outcome: dict[str, Any]) -> str:
    """The few figures of a step that a reader looks for first."""
    match outcome:
        case {"files": list(files)}:
            return ", ".join(f"{f['kept']:,} of {f['read']:,} {f['role']}" for f in files)
        case {"outcomes": dict(stages)}:
            rows = ", ".join(f"{stage} {_counted(counts)}" for stage, counts in stages.items())
            cached, prompt = outcome["cached_tokens"], outcome["prompt_tokens"]
            rate = f"{outcome['tokens_per_second']:,.0f} output tokens/s"
            return f"{rows}; {cached:,} of {prompt:,} prompt tokens cached; {rate}"
        case {"views": list(views)}:
            return ", ".join(f"{v['view']}: {v['num_encoded']:,} encoded" for v in views)
        case {"kept": int(kept), "read": int(read)}:
            return f"{kept:,} of {read:,} rows"
        case _:
            return ""


def _counted(counts: dict[str, int]) -> str:
    return " ".join(f"{name} {count}" for name, count in counts.items())


def _test_metrics(steps: list[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        if "results" not in step["outcome"]:
            continue
        outcome = step["outcome"]
        yield (
            f"Test part, all items ranked, {outcome['num_pairs']:,} pairs of {outcome['num_users']:,} users; "
            "mean ± sd over seeds where there are several; the interval is of NDCG@10 minus popularity's "
            "(95 %, over users).\n"
        )
        yield f"| model | seeds | {' | '.join(_METRICS)} | interval |"
        yield f"|---|---|{'---|' * len(_METRICS)}---|"
        for result in outcome["results"]:
            cells = " | ".join(_metric(result, name) for name in _METRICS)
            gain = "{:+.4f} to {:+.4f}".format(*result["gain"]) if result["gain"] else ""
            yield f"| {result['name']} | {result['num_seeds']} | {cells} | {gain} |"
        yield ""


def _metric(result: dict[str, Any], name: str) -> str:
    spread = f" ± {result['deviations'][name]:.4f}" if result["deviations"] else ""
    return f"{result['means'][name]:.4f}{spread}"


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
