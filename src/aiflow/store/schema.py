"""Owns the tables: what they are, and how an older store becomes a newer one.

Knows nothing of what the rows mean to the engine. Users may read every table with any SQLite tool (`docs/reference`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["APPLICATION_ID", "MIGRATIONS", "VERSION", "migrate"]

APPLICATION_ID = 0x41494657
"""``AIFW``: marks a SQLite file as a store of aiflow."""

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    """CREATE TABLE owners (
        id TEXT PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, started REAL NOT NULL, seen REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE events (
        offset INTEGER PRIMARY KEY, time REAL NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL, value TEXT NOT NULL,
        namespace TEXT NOT NULL, sender TEXT, context TEXT, execution_id TEXT, dedupe_key TEXT
    )""",
    "CREATE INDEX events_by_key ON events (key, offset) WHERE type <> 'JOB_STATUS_CHANGED'",
    "CREATE INDEX events_by_execution ON events (execution_id, offset) WHERE execution_id IS NOT NULL",
    "CREATE UNIQUE INDEX events_by_dedupe_key ON events (namespace, dedupe_key) WHERE dedupe_key IS NOT NULL",
    """CREATE TABLE documents (hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE workflows (
        namespace TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, source TEXT NOT NULL,
        created REAL NOT NULL, updated REAL NOT NULL, PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE executions (
        id TEXT PRIMARY KEY, workflow TEXT NOT NULL, namespace TEXT NOT NULL, status TEXT NOT NULL,
        params TEXT NOT NULL, context TEXT, owner TEXT, epoch INTEGER NOT NULL DEFAULT 1,
        definition TEXT NOT NULL, provenance TEXT, source TEXT NOT NULL, part TEXT,
        event_offset INTEGER, first_offset INTEGER NOT NULL, snapshot TEXT, snapshot_offset INTEGER,
        created REAL NOT NULL, started REAL, ended REAL, reason TEXT
    )""",
    "CREATE INDEX executions_by_workflow ON executions (workflow, created)",
    "CREATE INDEX executions_by_status ON executions (status) WHERE status IN ('RUNNING', 'STOPPING', 'INIT')",
    """CREATE TABLE job_executions (
        execution_id TEXT NOT NULL, job TEXT NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL,
        status TEXT NOT NULL, started REAL, ended REAL, reason TEXT, error TEXT, label TEXT, event_offset INTEGER,
        codec TEXT, value, blob TEXT, size INTEGER,
        PRIMARY KEY (execution_id, job, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE subscriptions (
        namespace TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, updated REAL NOT NULL,
        PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE cached_results (
        key TEXT PRIMARY KEY, execution_id TEXT NOT NULL, job TEXT NOT NULL, number INTEGER NOT NULL, time REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE failed_events (
        id INTEGER PRIMARY KEY, offset INTEGER NOT NULL, handler TEXT NOT NULL, error TEXT NOT NULL, time REAL NOT NULL
    )""",
)

_SECOND = (
    "ALTER TABLE executions ADD COLUMN trigger_id TEXT",
    "CREATE UNIQUE INDEX executions_by_trigger ON executions (trigger_id, event_offset) WHERE trigger_id IS NOT NULL",
    "CREATE INDEX executions_by_created ON executions (created)",
    "CREATE INDEX executions_by_ended ON executions (ended) WHERE ended IS NOT NULL",
    "ALTER TABLE job_executions ADD COLUMN items INTEGER",
    "CREATE INDEX job_executions_by_blob ON job_executions (blob) WHERE blob IS NOT NULL",
    """CREATE TABLE items (
        execution_id TEXT NOT NULL, job TEXT NOT NULL, item INTEGER NOT NULL,
        codec TEXT NOT NULL, value, blob TEXT, size INTEGER, PRIMARY KEY (execution_id, job, item)
    ) WITHOUT ROWID""",
    "CREATE INDEX items_by_blob ON items (blob) WHERE blob IS NOT NULL",
    """CREATE TABLE job_states (
        execution_id TEXT NOT NULL, job TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (execution_id, job)
    ) WITHOUT ROWID""",
    """CREATE TABLE triggers (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, namespace TEXT NOT NULL, workflow TEXT NOT NULL,
        source TEXT NOT NULL, condition TEXT NOT NULL, notation TEXT, declared INTEGER NOT NULL, params TEXT NOT NULL,
        if_running TEXT NOT NULL, max_parallel INTEGER, paused INTEGER NOT NULL DEFAULT 0,
        owner TEXT, epoch INTEGER NOT NULL DEFAULT 1, first_offset INTEGER NOT NULL, snapshot TEXT, snapshot_offset INTEGER,
        created REAL NOT NULL, updated REAL NOT NULL, UNIQUE (namespace, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE files (
        namespace TEXT NOT NULL, settle REAL NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (namespace, settle, path)
    ) WITHOUT ROWID""",
    "CREATE INDEX cached_results_by_execution ON cached_results (execution_id, job, number)",
    "CREATE INDEX failed_events_by_offset ON failed_events (offset)",
    "CREATE INDEX failed_events_by_handler ON failed_events (handler, id)",
)

_MADE_BY = "execution_id TEXT, job TEXT, job_number INTEGER"
_NAMED = (
    "description TEXT NOT NULL, properties TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, deleted REAL"
)

_THIRD = (
    f"""CREATE TABLE datasets (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, uri TEXT, format TEXT, schema TEXT, catalog TEXT, folder TEXT,
        {_NAMED}
    )""",
    "CREATE UNIQUE INDEX datasets_by_name ON datasets (name) WHERE deleted IS NULL",
    f"""CREATE TABLE dataset_versions (
        id INTEGER PRIMARY KEY, dataset TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT, uri TEXT, format TEXT,
        size INTEGER, rows INTEGER, schema TEXT, {_MADE_BY}, created REAL NOT NULL, deleted REAL,
        UNIQUE (dataset, number)
    )""",
    f"""CREATE TABLE models (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, {_NAMED}
    )""",
    "CREATE UNIQUE INDEX models_by_name ON models (name) WHERE deleted IS NULL",
    f"""CREATE TABLE model_versions (
        id INTEGER PRIMARY KEY, model TEXT NOT NULL, number INTEGER NOT NULL, stage TEXT NOT NULL, uri TEXT,
        hash TEXT, codec TEXT, size INTEGER, type TEXT NOT NULL, description TEXT NOT NULL, properties TEXT NOT NULL,
        {_MADE_BY}, created REAL NOT NULL, updated REAL NOT NULL, UNIQUE (model, number)
    )""",
    "CREATE UNIQUE INDEX model_versions_deployed ON model_versions (model) WHERE stage = 'DEPLOYED'",  # one at most, always
    "CREATE INDEX model_versions_by_stage ON model_versions (model, stage, number)",
    "CREATE INDEX model_versions_by_hash ON model_versions (hash)",
    """CREATE TABLE model_stages (
        id INTEGER PRIMARY KEY, model TEXT NOT NULL, number INTEGER NOT NULL, stage TEXT NOT NULL, before TEXT,
        rolled_back INTEGER NOT NULL, time REAL NOT NULL, offset INTEGER NOT NULL, execution_id TEXT
    )""",
    "CREATE INDEX model_stages_by_time ON model_stages (model, stage, time)",
    f"""CREATE TABLE artifacts (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, uri TEXT, type TEXT, folder TEXT, {_NAMED}
    )""",
    "CREATE UNIQUE INDEX artifacts_by_name ON artifacts (name) WHERE deleted IS NULL",
    f"""CREATE TABLE artifact_versions (
        id INTEGER PRIMARY KEY, artifact TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT, uri TEXT, type TEXT,
        size INTEGER, manifest TEXT, {_MADE_BY}, created REAL NOT NULL, deleted REAL, UNIQUE (artifact, number)
    )""",
    "CREATE INDEX artifact_versions_by_hash ON artifact_versions (hash)",
    f"""CREATE TABLE metrics (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, namespace TEXT NOT NULL, value REAL, special TEXT, step INTEGER, time REAL NOT NULL,
        model TEXT, model_number INTEGER, dataset TEXT, dataset_number INTEGER, {_MADE_BY}
    )""",
    "CREATE INDEX metrics_by_name ON metrics (name)",  # and in each of them by id, for that is what a row is found by
    "CREATE INDEX metrics_by_model ON metrics (model, name, model_number) WHERE model IS NOT NULL",
    "CREATE INDEX metrics_by_dataset ON metrics (dataset, name, dataset_number) WHERE dataset IS NOT NULL",
    "CREATE INDEX metrics_by_execution ON metrics (execution_id, name) WHERE execution_id IS NOT NULL",
    "ALTER TABLE job_executions ADD COLUMN inputs TEXT",
    """CREATE TABLE lineage_nodes (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, execution_id TEXT NOT NULL,
        workflow TEXT, attempt INTEGER, status TEXT, started REAL, ended REAL, UNIQUE (execution_id, kind, name, number)
    )""",
    """CREATE TABLE lineage (
        source INTEGER NOT NULL, target INTEGER NOT NULL, time REAL NOT NULL, PRIMARY KEY (source, target)
    ) WITHOUT ROWID""",
    "CREATE INDEX lineage_by_target ON lineage (target, source, time)",
)

_FOURTH = (
    "ALTER TABLE job_executions ADD COLUMN note TEXT",
    "ALTER TABLE job_executions ADD COLUMN note_attempt INTEGER",
)

_FIFTH = (
    "ALTER TABLE workflows ADD COLUMN paused INTEGER NOT NULL DEFAULT 0",
    # Starts of triggers whose execution was deleted: after a crash they are not to be done again.
    """CREATE TABLE deleted_starts (
        trigger_id TEXT NOT NULL, event_offset INTEGER NOT NULL, PRIMARY KEY (trigger_id, event_offset)
    ) WITHOUT ROWID""",
)

_SIXTH = ("ALTER TABLE job_executions ADD COLUMN summary TEXT",)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH)
"""The statements that lead from version n to n + 1, for n = 0, 1, …"""

VERSION = len(MIGRATIONS)


def migrate(connection: Any, version: int) -> None:
    """Bring a store from `version` to `VERSION`; the caller holds the transaction, so it is old or new, never between."""
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
