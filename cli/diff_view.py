"""How the difference of two releases looks on the command line."""

from typing import TYPE_CHECKING, Final

from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.diff.result import (
        CodesDiff,
        GraphDiff,
        ReleaseDiff,
        ReleaseFacts,
        TextDiff,
        VectorDiff,
    )
    from featurestore.pages.word_difference import WordRun

_CONTEXT: Final = 6
"""Words to show on either side of a change."""


def show_diff(report: Reporter, diff: "ReleaseDiff") -> None:
    """Print counts and gates that changed, then each feature."""
    report.say(f"before: {_release(diff.before)}\nafter:  {_release(diff.after)}")
    if diff.before.split != diff.after.split:
        report.say("the split changed: texts that read events are not of the same events")
    _show_counts(report, diff)
    _show_gates(report, diff)
    for texts in diff.texts:
        _show_texts(report, diff, texts)
    for vectors in diff.vectors:
        _show_vectors(report, diff, vectors)
    for graph in diff.graphs:
        _show_graph(report, diff, graph)
    for codes in diff.codes:
        _show_codes(report, diff, codes)


def marked(difference: "tuple[WordRun, ...]") -> str:
    """A difference as one line: ``[-words that went-] {+words that came+}``, long equal runs cut."""
    last = len(difference) - 1
    return " ".join(_marked(run, first=at == 0, last=at == last) for at, run in enumerate(difference))


def _marked(run: "WordRun", *, first: bool, last: bool) -> str:
    match run.side:
        case "a":
            return f"[-{run.text}-]"
        case "b":
            return f"{{+{run.text}+}}"
        case None:
            words = run.text.split(" ")
            head = [] if first else words[:_CONTEXT]
            tail = [] if last else words[-_CONTEXT:]
            return run.text if len(words) <= len(head) + len(tail) else " ".join([*head, "…", *tail])


def _release(facts: "ReleaseFacts") -> str:
    aliases = f" ({', '.join(facts.aliases)})" if facts.aliases else ""
    return f"release {facts.number}{aliases} of {facts.created_at}"


def _show_counts(report: Reporter, diff: "ReleaseDiff") -> None:
    changed = [row for row in diff.counts if row.change != "same"]
    rows = [
        {
            "kind": row.kind,
            "feature": row.name,
            "rows before": row.rows_before,
            "rows after": row.rows_after,
            "failed before": row.failed_before,
            "failed after": row.failed_after,
            "change": row.change,
        }
        for row in changed
    ]
    report.table("tables that changed", rows)
    report.say(f"tables with the same rows: {len(diff.counts) - len(changed):,}")


def _show_gates(report: Reporter, diff: "ReleaseDiff") -> None:
    both = [gate for gate in diff.gates if gate.delta is not None]
    rows = [
        {
            "gate": gate.gate,
            "feature": f"{gate.feature}, {gate.stratum}" if gate.stratum else gate.feature,
            "before": gate.before,
            "after": gate.after,
            "change": gate.delta,
            "threshold": gate.threshold,
        }
        for gate in both
        if gate.delta
    ]
    report.table("gates with another value", rows)
    report.say(f"gates that ran for one of the releases alone: {len(diff.gates) - len(both):,}")


def _show_texts(report: Reporter, diff: "ReleaseDiff", texts: "TextDiff") -> None:
    from featurestore.pages.word_difference import word_difference

    report.say(
        f"\ntexts {texts.name}: {texts.num_changed:,} rewritten, {texts.num_added:,} new, "
        f"{texts.num_removed:,} gone, {texts.num_equal:,} the same"
    )
    if texts.mean_similarity is not None:
        report.say(f"words that are the same, of {texts.num_sampled:,} texts: {texts.mean_similarity:.0%}")
    for text in texts.examples:
        report.say(f"  {_named(diff, texts, text.id)}  [{text.similarity:.0%} of the words are the same]")
        report.say(f"    {marked(word_difference(text.before, text.after))}")


def _show_vectors(report: Reporter, diff: "ReleaseDiff", vectors: "VectorDiff") -> None:
    report.say(
        f"\nvectors {vectors.name}: {vectors.num_moved:,} moved, {vectors.num_added:,} new, "
        f"{vectors.num_removed:,} gone, {vectors.num_equal:,} the same"
    )
    if vectors.incomparable:
        report.say(f"not compared: {vectors.incomparable}")
    if vectors.median_distance is not None:
        report.say(
            f"1 - cosine: median {vectors.median_distance:.4f}, 99th percentile {vectors.p99_distance:.4f}"
        )
    for move in vectors.moves:
        report.say(f"  {move.distance:.4f}  {_named(diff, vectors, move.id)}")


def _show_graph(report: Reporter, diff: "ReleaseDiff", graph: "GraphDiff") -> None:
    kept = "" if graph.kept_share is None else f"; {graph.kept_share:.1%} of the earlier edges are kept"
    report.say(
        f"\nneighbours {graph.name}: {graph.num_changed:,} of {graph.num_nodes:,} nodes lost or gained some"
        f"{kept}"
    )
    for node in graph.examples:
        moved = "" if node.distance is None else f", moved by {node.distance:.4f}"
        report.say(f"  {_named(diff, graph, node.id)}  [{node.num_kept} kept{moved}]")
        for word, ids in (("lost", node.lost), ("gained", node.gained)):
            if ids:
                report.say(f"    {word}: {'; '.join(_named(diff, graph, i) for i in ids)}")


def _show_codes(report: Reporter, diff: "ReleaseDiff", codes: "CodesDiff") -> None:
    report.say(
        f"\nsemantic ids {codes.name}: {codes.num_moved:,} moved, {codes.num_added:,} new, "
        f"{codes.num_removed:,} gone, {codes.num_equal:,} the same"
        f"{'' if codes.same_codebook else '; the codebooks are others'}"
    )
    for move in codes.examples:
        before, after = ("-".join(map(str, places)) for places in (move.before, move.after))
        report.say(f"  {_named(diff, codes, move.id)}  {before} → {after}")


def _named(diff: "ReleaseDiff", part: "TextDiff | VectorDiff | GraphDiff | CodesDiff", entity_id: str) -> str:
    title = diff.title(part.entity, entity_id)
    return f"{entity_id} ({title})" if title else entity_id
