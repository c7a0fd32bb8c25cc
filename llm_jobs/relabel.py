"""New names of event sets: a text read the same events as before, but the split has another name now.

Every ingest of new events makes a new split, and with it a new name of its training part. Most users' events
are the same under it. Their texts stay as they are: only the digest of the events decides staleness, not the
cut itself. Their rows get the new name without a request, so that they belong to the split a release pins.
So do outdated texts that are left for later, if all that they read is still in the training part.
"""

from collections.abc import Collection, Sequence

import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore.jobs.committer import Committer
from featurestore.schema import TEXTS
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store
from llm_jobs.inputs import EntityInputs
from llm_jobs.specs import input_digest, same_inputs


def relabel_event_sets(
    store: Store,
    specs: Sequence[TextSpec],
    inputs: EntityInputs,
    committer: Committer,
    *,
    outdated: Collection[str] = (),
) -> int:
    """Rename the event set of rows whose events are unchanged, or still training events, under the split.

    Args:
        store: Holds the texts.
        specs: The prompt's stages.
        inputs: The entities considered, with their histories.
        committer: Of the job that holds the stages' locks.
        outdated: Entities whose rows stay outdated and have read training events of the current split only.

    Returns:
        How many rows were renamed.

    Raises:
        LockHeldError: If another job took over.
    """
    if not inputs.histories:
        return 0
    return sum(_relabel_stage(store, spec, inputs, committer, outdated) for spec in specs)


def _relabel_stage(
    store: Store, spec: TextSpec, inputs: EntityInputs, committer: Committer, outdated: Collection[str]
) -> int:
    table = table_name(spec)
    if store.latest(table) is None:
        return 0
    stored = pl.DataFrame(store.read(table, columns=[c.ID, c.FINGERPRINT, c.EVENT_SET]))
    known = {row_id: (fingerprint, event_set) for row_id, fingerprint, event_set in stored.iter_rows()}
    new_sets: dict[str, str] = {}
    for position, entity_id in enumerate(inputs.ids):
        history, row = inputs.history(position), known.get(entity_id)
        if history is None or row is None or row[1] == history.event_set:
            continue
        digest = input_digest(inputs.fields(position), spec.reads, history.events_digest)
        if entity_id in outdated or same_inputs(row[0], digest):
            new_sets[entity_id] = history.event_set
    if new_sets:
        rows = store.read(table, ids=list(new_sets))
        column = rows.schema.get_field_index(c.EVENT_SET)
        committer.rewrite(
            table, rows.set_column(column, TEXTS.field(c.EVENT_SET), pa.array(new_sets.values()))
        )
    return len(new_sets)
