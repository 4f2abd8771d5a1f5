"""What jobs with roles do before their function: the versions that they work on are found, and put into the call.

Knows nothing of turns, and of what comes after the function (`runners/performed.py`). It runs on the worker, in the process
that has the store.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple

from aiflow.errors import NotFound, ParameterError
from aiflow.graph.dataset import Dataset, DatasetVersion
from aiflow.graph.event import Event, EventType
from aiflow.graph.model import Model, ModelVersion, Stage
from aiflow.graph.place import folder_for, local_path
from aiflow.graph.role import BASE_STAGES, SLOT, Place, Reading, Role, RoleSpec, read_call
from aiflow.graph.version import Version
from aiflow.graph.versions import VERSIONS
from aiflow.ledger.book import decoded
from aiflow.live import JobWork
from aiflow.runners.base import Call
from aiflow.runners.performed import Loaded, Performed
from aiflow.runners.streamed import Followed, Streamed
from aiflow.values.contents import dataset_change

__all__ = ["Finder", "prepare"]


def prepare(work: JobWork, call: Call) -> Call:
    """Give a call of a job with a role as it is made ready to be called by its runner.

    Parameters
    ----------
    work
        Whose call; it remembers which versions were chosen, for each element of a mapped job gets the same.
    call
        The user's function, with all that the workflow's body gives it.

    Raises
    ------
    NotFound
        If there is no version that it could work on.
    ParameterError
        If something else than a version came where one is needed.
    Conflict, OSError, ...
        What looking at a dataset raises.
    """
    spec, home = work.job.role, str(work.live.store.home)
    assert spec is not None
    function, args, kwargs = call
    try:
        signature = work.job.signature
    except (TypeError, ValueError):  # a builtin that does not tell what it takes
        is_there = bool(args) and spec.is_of(args[0])
        signature, kwargs = _ANY, {**kwargs}
        reading = read_call(spec, signature, args, kwargs, chosen=spec.takes is not None and not is_there)
    else:
        reading = read_call(spec, signature, args, kwargs, chosen=_is_chosen(work, spec, call))
    if reading.problem:
        raise ParameterError(f"the call of {work.key.job} does not fit {work.job.name}{signature}: {reading.problem}")
    version = _version(work, spec, reading) if spec.takes else None
    for name in spec.asks:
        _answer(work, spec, reading, name, version)
    folder = work.context.folder
    performed = Performed(function, spec, version, home, folder)
    if work.vertex.flows:
        yields = work.vertex.stream and work.options.flink is None  # on Flink, the items are Flink's
        performed = Streamed(function, spec, version, home, folder, yields)
    return Call(performed, reading.bound.args, reading.bound.kwargs)


def _any(*args: Any, **kwargs: Any) -> None:
    """Take anything."""


_ANY = inspect.signature(_any)


def _is_chosen(work: JobWork, spec: RoleSpec, call: Call) -> bool:
    """Tell whether the call leaves the place of the version out; if it can be read both ways, what arrived decides."""
    place = work.vertex.node.place
    if place is Place.EITHER:
        return not spec.is_of(read_call(spec, work.job.signature, call.args, call.kwargs, chosen=False).subject)
    if place is Place.CHOSEN and call.args and spec.is_of(call.args[0]):
        raise ParameterError(
            f"{call.args[0]} came as the first argument of {work.key.job}, where it stands for the {spec.takes}; then "
            f"{work.job.name}{work.job.signature} needs more arguments: give them, or leave the version out"
        )
    return place is Place.CHOSEN


def _version(work: JobWork, spec: RoleSpec, reading: Reading) -> Version | None:
    """Find the version that a job works on, and put what the function gets of it into the first place."""
    found: Any = reading.subject
    is_chosen = found is SLOT
    if is_chosen:
        found = work.chosen("", lambda: _choose(work, spec))
    elif not spec.is_of(found):
        if spec.takes_anything:  # its inputs: the version is not among them, or in another place
            return _version_beside(work, spec, reading)
        raise ParameterError(
            f"{work.key.job} works on a version of {spec.name!r}, and {_said(found)} came in its place; give what a job "
            f"with @af.{'train' if spec.takes == 'model' else 'write_dataset'}({spec.name}) gives, or leave it out"
        )
    version: Version = found
    if spec.role is Role.PUSH_MODEL or not isinstance(found, ModelVersion):
        reading.put(None, found)
    elif work.vertex.flows and (spec.role is Role.PREDICT or (spec.role is Role.MONITOR and is_chosen)):
        reading.put(None, Followed(found))
    else:
        reading.put(None, Loaded(found))
    return version


def _said(value: Any) -> str:
    return (
        str(value) if value is None or isinstance(value, Version) else f"something of the type {type(value).__name__}"
    )


def _choose(work: JobWork, spec: RoleSpec) -> Version:
    if isinstance(spec.subject, Dataset):
        return _data_now(work, spec, spec.subject)
    find, context = _finder(work), work.context
    found = find.of_events(spec, context.event_offsets, context.cause) or find.latest(spec.name, spec.stages)
    if found is None:
        raise _missing(find, spec.name, spec.stages, f"for {work.key.job}")
    return found


def _missing(find: Finder, name: str, stages: Iterable[Iterable[Stage]], what_for: str) -> NotFound:
    wanted = " or ".join(str(s) for some in stages for s in some)
    rows = find.rows("SELECT number, stage FROM model_versions WHERE model = ? ORDER BY number DESC LIMIT 3", (name,))
    return NotFound(f"version ({wanted}) {what_for} of model", name, [f"{name}:{n} ({stage})" for n, stage in rows])


def _answer(work: JobWork, spec: RoleSpec, reading: Reading, name: str, version: Version | None) -> None:
    """Put what a function asks for by the name of a parameter into its place."""
    given = reading.bound.arguments.get(name)
    model = spec.base if name == "base" and spec.base is not None else spec.subject
    if isinstance(given, ModelVersion) and isinstance(model, Model) and given.model == model.name:
        reading.put(name, Loaded(given))
    elif given is SLOT and name == "artifact":
        reading.put(name, _with_path(work, spec.subject))
    elif given is SLOT and name == "dataset":
        reading.put(name, _with_path(work, spec.subject) if spec.role is Role.WRITE_DATASET else version)
    elif given is SLOT and name == "deployed":
        found = work.chosen(name, lambda: _finder(work).latest(spec.name, ((Stage.DEPLOYED,),)))
        reading.put(name, None if found is None else Loaded(found))
    elif given is SLOT and name == "base" and model is not None:
        find = _finder(work)
        found = work.chosen(name, lambda: find.latest(model.name, BASE_STAGES))
        if found is None and spec.base is not None:
            raise _missing(find, model.name, BASE_STAGES, f"for {work.key.job} to start from")
        if found is None and reading.bound.signature.parameters[name].default is not reading.bound.signature.empty:
            del reading.bound.arguments[name]  # the first version has none
        else:
            reading.put(name, None if found is None else Loaded(found))


# --- datasets ---------------------------------------------------------------------------------------------------------


def _data_now(work: JobWork, spec: RoleSpec, dataset: Dataset) -> DatasetVersion:
    """Give the version that is at the uri of a dataset now; it is recorded, unless it is the latest one."""
    find, folder = _finder(work), work.context.folder
    latest = find.latest_data(dataset.name)
    assert latest is None or isinstance(latest, DatasetVersion)
    if dataset.uri is not None and local_path(dataset.uri, folder) is None:  # it cannot be looked at
        known = find.of_events(spec, work.context.event_offsets, work.context.cause) or latest
        if isinstance(known, DatasetVersion):
            return known
    said = (dataset.name, dataset.uri, folder, dataset.format, dataset.schema)
    (row,) = work.port.change(work.key, [dataset_change(*said, latest=latest, found=True)])
    return DatasetVersion.of_row(row, str(work.live.store.home))


def _version_beside(work: JobWork, spec: RoleSpec, reading: Reading) -> Version | None:
    """Give the version of a dataset that inputs in its place are of: another argument, else the latest that is known."""
    given = next((v for v in (*reading.bound.args, *reading.bound.kwargs.values()) if spec.is_of(v)), None)
    find, context = _finder(work), work.context

    def choose() -> Version | None:
        return find.of_events(spec, context.event_offsets, context.cause) or find.latest_data(spec.name)

    found: Version | None = given if given is not None else work.chosen("", choose)
    return found


def _with_path(work: JobWork, declared: Any) -> Any:
    """Give a dataset or an artifact whose relative uri was made the path that it means, wherever the function runs."""
    is_relative = folder_for(declared.uri, work.context.folder) is not None
    return replace(declared, uri=str(local_path(declared.uri, work.context.folder))) if is_relative else declared


# --- finding versions -------------------------------------------------------------------------------------------------

_EVENTS = {
    "model": frozenset(
        (EventType.MODEL_GENERATED, EventType.MODEL_VALIDATED, EventType.MODEL_DEPLOYED, EventType.MODEL_DEPRECATED)
    ),
    "dataset": frozenset((EventType.DATASET_CHANGED,)),
}
_THERE = {"model": "stage <> 'DELETED'", "dataset": "deleted IS NULL"}


@cache
def _columns(kind: str) -> tuple[str, ...]:
    return tuple(f.name for f in fields(VERSIONS[kind]) if f.name != "home")  # type: ignore[arg-type]  # a dataclass


class Finder(NamedTuple):
    """Finds versions of models and datasets.

    Attributes
    ----------
    rows
        Reads rows: of what is committed, or in the transaction of a turn.
    events
        Reads events by their offsets, likewise.
    home
        The home that has them.
    """

    rows: Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
    events: Callable[[Iterable[int]], list[Event]]
    home: str

    def of_events(self, spec: RoleSpec, offsets: Iterable[int], cause: int | None) -> Version | None:
        """Give the version in what started a job: of its own events the newest, else what started the execution."""
        kind = spec.takes or ""
        for some in (offsets, () if cause is None else (cause,)):
            events = self.events(some) if some else ()
            numbers = [e.value["number"] for e in events if e.type in _EVENTS[kind] and e.key == spec.name]
            if numbers:
                return self._one(kind, f"{kind} = ? AND number = ? AND {_THERE[kind]}", (spec.name, numbers[-1]))
        return None

    def latest(self, name: str, stages: Iterable[Iterable[Stage]]) -> Version | None:
        """Give the newest version of a model in the first of these groups of stages that has any."""
        for some in stages:
            wanted = tuple(map(str, some))
            clause = f"model = ? AND stage IN ({', '.join('?' * len(wanted))}) ORDER BY number DESC LIMIT 1"
            found = self._one("model", clause, (name, *wanted))
            if found is not None:
                return found
        return None

    def latest_data(self, name: str) -> Version | None:
        """Give the newest version of a dataset."""
        return self._one("dataset", "dataset = ? AND deleted IS NULL ORDER BY number DESC LIMIT 1", (name,))

    def _one(self, kind: str, clause: str, values: tuple[Any, ...]) -> Version | None:
        names = _columns(kind)
        rows = self.rows(f"SELECT {', '.join(names)} FROM {kind}_versions WHERE {clause}", values)
        return VERSIONS[kind].of_row(decoded(dict(zip(names, rows[0], strict=True))), self.home) if rows else None


def _finder(work: JobWork) -> Finder:
    store = work.live.store
    return Finder(store.rows, lambda offsets: work.port.events(offsets, work.context.key), str(store.home))
