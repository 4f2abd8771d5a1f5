"""Asks whether the rows of a store fit together: `aiflow db check`.

Knows nothing of why a row should be there, only what it names.
"""

from __future__ import annotations

import json
from contextlib import suppress

from aiflow.errors import StoreError
from aiflow.graph.versions import VERSIONS
from aiflow.store.leftovers import LIVE
from aiflow.store.store import Store
from aiflow.values.contents import blobs_in

__all__ = ["dangling", "named_blobs"]

_GONE = "execution_id NOT IN (SELECT id FROM executions) AND execution_id NOT IN (SELECT value FROM json_each(coalesce((SELECT value FROM meta WHERE key = 'pruning'), '[]')))"
_HEAD = "(SELECT coalesce(max(offset), 0) FROM events)"
_PRUNED = "(SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'pruned_until')"

_QUESTIONS = (
    (f"SELECT execution_id, job, number FROM job_executions WHERE {_GONE}",
     "job_executions: {1} number {2} belongs to execution {0}, which is not there"),
    (f"SELECT DISTINCT execution_id, job FROM items WHERE {_GONE}",
     "items: those of {1} belong to execution {0}, which is not there"),
    (f"SELECT execution_id, job FROM job_states WHERE {_GONE}",
     "job_states: that of {1} belongs to execution {0}, which is not there"),
    ("SELECT key, execution_id, job, number FROM cached_results c WHERE NOT EXISTS (SELECT 1 FROM job_executions j "
     "WHERE (j.execution_id, j.job, j.number) = (c.execution_id, c.job, c.number))",
     "cached_results: {0:.12}… is the value of {2} number {3} of execution {1}, which is not there"),
    ("SELECT source, target FROM lineage WHERE source NOT IN (SELECT id FROM lineage_nodes) OR target NOT IN (SELECT id FROM lineage_nodes)",
     "lineage: {1} came from {0}, and one of these is not there"),
    *((f"SELECT name, number FROM lineage_nodes WHERE kind = '{kind}' AND (name, number) NOT IN (SELECT {kind}, number FROM {kind}_versions)",
       "lineage_nodes: the version {0}:{1} of a " + kind + " is not there") for kind in VERSIONS),
    ("SELECT id, definition FROM executions WHERE definition NOT IN (SELECT hash FROM documents)",
     "executions: the definition of {0} is not there ({1})"),
    ("SELECT id, provenance FROM executions WHERE provenance IS NOT NULL AND provenance NOT IN (SELECT hash FROM documents)",
     "executions: the provenance of {0} is not there ({1})"),
    (f"SELECT id, coalesce(snapshot_offset, first_offset), {_HEAD} FROM executions WHERE max(first_offset, coalesce(snapshot_offset, 0)) > {_HEAD}",
     "executions: {0} stands at offset {1}, and the log ends at {2}"),
    (f"SELECT id, coalesce(snapshot_offset, first_offset), {_PRUNED} FROM executions WHERE {LIVE} AND coalesce(snapshot_offset, first_offset) < {_PRUNED}",
     "executions: {0} has not ended and needs the log from offset {1}, which was pruned up to {2}"),
    (f"SELECT name, max(first_offset, coalesce(snapshot_offset, 0)), {_HEAD} FROM triggers WHERE max(first_offset, coalesce(snapshot_offset, 0)) > {_HEAD}",
     "triggers: {0} stands at offset {1}, and the log ends at {2}"),
    (f"SELECT name, coalesce(snapshot_offset, first_offset), {_PRUNED} FROM triggers WHERE coalesce(snapshot_offset, first_offset) < {_PRUNED}",
     "triggers: {0} needs the log from offset {1}, which was pruned up to {2}"),
    (f"SELECT name, position, {_HEAD} FROM subscriptions WHERE position > {_HEAD}",
     "subscriptions: {0} stands at offset {1}, and the log ends at {2}"),
    (f"SELECT name, position, {_PRUNED} FROM subscriptions WHERE position < {_PRUNED}",
     "subscriptions: {0} needs the log from offset {1}, which was pruned up to {2}"),
    (f"SELECT name, id FROM metrics m WHERE id > {_PRUNED} AND NOT EXISTS (SELECT 1 FROM events WHERE offset = m.id AND type = 'METRIC_LOGGED')",
     "metrics: that of {0} was logged at offset {1}, and the log has it not"),
    (f"SELECT path, offset, {_HEAD} FROM files WHERE offset > {_HEAD}",
     "files: {0} was told at offset {1}, and the log ends at {2}"),
    (f"SELECT handler, offset, {_HEAD} FROM failed_events WHERE offset > {_HEAD}",
     "failed_events: {0} failed at offset {1}, and the log ends at {2}"),
    ("SELECT v.model, v.number, v.stage, s.stage FROM model_versions v LEFT JOIN (SELECT model, number, stage, max(id) FROM model_stages "
     "GROUP BY model, number) s USING (model, number) WHERE v.stage IS NOT s.stage",
     "model_versions: {0}:{1} is {2}, and its last change of stage says {3}"),
    (f"SELECT count(*), max(offset) - min(offset) + 1 AS all_of_them FROM events WHERE offset > {_PRUNED} HAVING count(*) <> all_of_them",
     "events: there are {0}, and by their offsets there should be {1}"),
)  # fmt: skip
_SNAPSHOTS = "SELECT '{0}', id FROM {0} WHERE snapshot IS NOT NULL AND NOT json_valid(snapshot)"
_MOST = 20
_MODELS = (
    "SELECT model, number, hash FROM model_versions WHERE hash IS NOT NULL AND codec IS NOT NULL AND stage <> 'DELETED'"
)
_ARTIFACTS = "SELECT artifact, number, hash, manifest FROM artifact_versions WHERE hash IS NOT NULL AND deleted IS NULL"


def dangling(store: Store) -> list[str]:
    """Say which rows name something that is not there, in sentences; the first ones of each kind."""
    found = []
    for sql, text in _QUESTIONS:
        rows = store.rows(f"{sql} LIMIT {_MOST + 1}")
        found += [text.format(*row) for row in rows[:_MOST]]
        if len(rows) > _MOST:
            found.append("  … and more of these")
    for table in ("executions", "triggers"):
        rows = store.rows(_SNAPSHOTS.format(table))
        found += [f"{name}: the state of {one} cannot be read" for name, one in rows]
    return found


def named_blobs(store: Store) -> dict[str, str]:
    """Give the hashes of all blobs that rows name, each with whose it is."""
    found: dict[str, str] = {}
    for execution_id, job, blob in store.rows(
        "SELECT execution_id, job, blob FROM job_executions WHERE blob IS NOT NULL"
    ):
        found[blob] = f"the value of {job} in execution {execution_id}"
    for execution_id, job, blob in store.rows("SELECT execution_id, job, blob FROM items WHERE blob IS NOT NULL"):
        found[blob] = f"an item of {job} in execution {execution_id}"
    for execution_id, part in store.rows("SELECT id, part FROM executions WHERE part IS NOT NULL"):
        for job, stored in json.loads(part).get("given", {}).items():
            if stored[2]:
                found[stored[2]] = f"given for {job} in execution {execution_id}"
    for model, number, digest in store.rows(_MODELS):
        found[digest] = f"the object of model version {model}:{number}"
    for artifact, number, digest, manifest in store.rows(_ARTIFACTS):
        whose = f"artifact version {artifact}:{number}"
        if manifest is None:
            found[digest] = f"the content of {whose}"
            continue
        found[manifest] = f"the list of the files of {whose}"
        with suppress(StoreError):  # it is found to be damaged when it is read itself
            found |= dict.fromkeys(blobs_in(store.blobs, manifest), f"a file of {whose}")
    return found
