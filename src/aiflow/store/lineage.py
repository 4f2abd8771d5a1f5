"""Owns the tables of the lineage: things as small integers, and which came from which.

Knows nothing of what makes one thing come from another.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from aiflow.graph.thing import Thing

if TYPE_CHECKING:
    from aiflow.store.store import Store

__all__ = [
    "EDGE_ADDED",
    "NODE_ADDED",
    "edge",
    "find",
    "is_known",
    "is_linked",
    "jobs_of",
    "link",
    "link_many",
    "node",
    "things",
    "walk",
]

NODE_ADDED = "INSERT OR IGNORE INTO lineage_nodes (execution_id, kind, name, number) VALUES (?, ?, ?, ?)"
_IS = "{0}.execution_id = ? AND {0}.kind = ? AND {0}.name = ? AND {0}.number = ?"
EDGE_ADDED = (
    f"INSERT OR IGNORE INTO lineage SELECT s.id, t.id, ? FROM lineage_nodes s, lineage_nodes t "
    f"WHERE {_IS.format('s')} AND {_IS.format('t')}"
)
"""Of things that are there already; that it is there stays true of an edge, and so does since when."""

_LINKED = (
    f"SELECT 1 FROM lineage_nodes s, lineage_nodes t JOIN lineage l ON l.source = s.id AND l.target = t.id "
    f"WHERE {_IS.format('s')} AND {_IS.format('t')}"
)


def node(thing: Thing) -> tuple[Any, ...]:
    """Give the values for `NODE_ADDED`."""
    return thing.execution_id, thing.kind, thing.name, thing.number


def edge(source: Thing, target: Thing, time: float) -> tuple[Any, ...]:
    """Give the values for `EDGE_ADDED`."""
    return time, *node(source), *node(target)


def link(writer: Any, source: Thing, target: Thing, time: float) -> None:
    """Record, in a transaction, that one thing came from another."""
    writer.execute(NODE_ADDED, node(source))
    writer.execute(NODE_ADDED, node(target))
    writer.execute(EDGE_ADDED, edge(source, target, time))


def link_many(writer: Any, links: Collection[tuple[Thing, Thing, float]]) -> None:
    """Do the same for many: source, target and time of each."""
    things = dict.fromkeys(end for source, target, _ in links for end in (source, target))
    writer.executemany(NODE_ADDED, [node(thing) for thing in things])
    writer.executemany(EDGE_ADDED, [edge(*one) for one in links])


def is_linked(writer: Any, source: Thing, target: Thing) -> bool:
    """Tell whether it is recorded that one thing came from another."""
    return writer.execute(_LINKED, (*node(source), *node(target))).fetchone() is not None


def is_known(connection: Any, execution_id: str) -> bool:
    """Tell whether anything is recorded of the jobs of an execution."""
    sql = "SELECT 1 FROM lineage_nodes WHERE execution_id = ? LIMIT 1"
    return connection.execute(sql, (execution_id,)).fetchone() is not None


# --- asking ---------------------------------------------------------------------------------------------------------

_STEPS = {  # for each direction: from a thing that was reached to the next one
    "upstream": "seen JOIN lineage l ON l.target = seen.id",
    "downstream": "seen JOIN lineage l ON l.source = seen.id",
}
_NEXT = {"upstream": "l.source", "downstream": "l.target"}


def walk(store: Store, direction: str, ids: Iterable[int], until: float) -> list[tuple[int, int, float]]:
    """Give the edges on all ways that lead to some things, or from them: source, target, time.

    Parameters
    ----------
    direction
        ``"upstream"`` or ``"downstream"``.
    ids
        The nodes to begin with.
    until
        Only edges that were recorded at this time or before.
    """
    step = _STEPS[direction]
    sql = (
        f"WITH RECURSIVE seen (id) AS (SELECT value FROM json_each(?) UNION SELECT {_NEXT[direction]} FROM {step} WHERE l.time <= ?) "
        f"SELECT l.source, l.target, l.time FROM {step} WHERE l.time <= ?"
    )
    return store.rows(sql, (json.dumps(list(ids)), until, until))


def find(store: Store, things: Iterable[Thing]) -> dict[Thing, int]:
    """Give the nodes of things; what nothing is recorded of is left out."""
    asked = list(things)
    part = "json_extract(a.value, '$[{}]')"
    key = ", ".join(map(part.format, range(4)))
    sql = f"SELECT a.key, n.id FROM json_each(?) a JOIN lineage_nodes n ON (n.execution_id, n.kind, n.name, n.number) = ({key})"
    return {asked[place]: one for place, one in store.rows(sql, (json.dumps([node(thing) for thing in asked]),))}


def jobs_of(store: Store, execution_id: str) -> list[Thing]:
    """Give the job executions of an execution of which something is recorded."""
    sql = "SELECT kind, name, number, execution_id FROM lineage_nodes WHERE execution_id = ? ORDER BY id"
    return [Thing(*row) for row in store.rows(sql, (execution_id,))]


def things(store: Store, ids: Iterable[int]) -> dict[int, Thing]:
    """Give the things of nodes, in the order of their ids, which is that in which they came to be known."""
    sql = "SELECT id, kind, name, number, execution_id FROM lineage_nodes WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    return {row[0]: Thing(*row[1:]) for row in store.rows(sql, (json.dumps(list(ids)),))}


# --- forgetting -----------------------------------------------------------------------------------------------------

_ROW = "j.execution_id = {0}.execution_id AND j.job = {0}.name AND j.number = {0}.number"
_OUTDATED = (
    f"SELECT n.id FROM lineage_nodes n JOIN job_executions j ON {_ROW.format('n')} WHERE n.execution_id = ? AND n.kind = 'job' "
    "AND (n.status IS NOT j.status OR n.attempt IS NOT j.attempt)"
)
_NOTE = (
    "UPDATE lineage_nodes SET (workflow, attempt, status, started, ended) = (SELECT e.workflow, j.attempt, j.status, j.started, j.ended "
    f"FROM job_executions j LEFT JOIN executions e ON e.id = j.execution_id WHERE {_ROW.format('lineage_nodes')}) WHERE id IN "
)
_USELESS = (
    "n.kind = 'job' AND NOT EXISTS (SELECT 1 FROM lineage l WHERE l.source = n.id) "
    f"AND NOT EXISTS (SELECT 1 FROM job_executions j WHERE {_ROW.format('n')})"
)


def note_jobs(writer: Any, execution_id: str, rows: int) -> int:
    """Keep, in a transaction, what will still be known of up to `rows` jobs of an execution when their rows are gone."""
    return int(writer.execute(f"{_NOTE} ({_OUTDATED} LIMIT ?)", (execution_id, rows)).rowcount)


def note_runs(writer: Any, execution_id: str, job: str, until: int) -> None:
    """Keep, in a transaction, what will still be known of the runs of a job up to a number."""
    writer.execute(f"{_NOTE} ({_OUTDATED} AND n.name = ? AND n.number <= ?)", (execution_id, job, until))


def forget_jobs(writer: Any, execution_id: str, rows: int) -> int:
    """Delete, in a transaction, up to about `rows` jobs of an execution that have no rows any more and that nothing came from."""
    sql = f"SELECT n.id FROM lineage_nodes n WHERE n.execution_id = ? AND {_USELESS} LIMIT ?"
    return _forget(writer, [row[0] for row in writer.execute(sql, (execution_id, rows)).fetchall()])


def forget_runs(writer: Any, execution_id: str, job: str, until: int) -> int:
    """Do the same for the runs of a job up to a number."""
    sql = f"SELECT n.id FROM lineage_nodes n WHERE n.execution_id = ? AND n.name = ? AND n.number <= ? AND {_USELESS}"
    return _forget(writer, [row[0] for row in writer.execute(sql, (execution_id, job, until)).fetchall()])


def _forget(writer: Any, ids: list[int]) -> int:
    """Delete jobs, and then those before them from which nothing else came."""
    count, todo = 0, ids
    while todo:
        one = todo.pop()
        before = writer.execute("SELECT source FROM lineage WHERE target = ?", (one,)).fetchall()
        writer.execute("DELETE FROM lineage WHERE target = ?", (one,))
        count += int(writer.execute("DELETE FROM lineage_nodes WHERE id = ?", (one,)).rowcount)
        for (source,) in before:
            if writer.execute(f"SELECT 1 FROM lineage_nodes n WHERE n.id = ? AND {_USELESS}", (source,)).fetchone():
                todo.append(source)
    return count
