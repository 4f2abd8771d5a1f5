"""What all views of registered things have in common: register, find, list, update, delete.

Knows nothing of versions.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from aiflow.errors import NotFound, ParameterError, suggest
from aiflow.graph.artifact import Artifact
from aiflow.graph.card import Card, HasCard, Listing, listed
from aiflow.graph.change import Change, Who, registration
from aiflow.graph.dataset import Dataset
from aiflow.graph.model import Model
from aiflow.graph.place import folder_for
from aiflow.graph.version import Version
from aiflow.graph.versions import use_of
from aiflow.ledger.book import select
from aiflow.ledger.registry import KINDS, ways_to
from aiflow.runners.context import JobContext, current_or_none
from aiflow.views import HasList, where

if TYPE_CHECKING:
    from aiflow._project import Project

__all__ = ["HasVersions", "Registry", "do", "folder_now", "page", "using"]

R = TypeVar("R")


def do(project: Project, *changes: Change, job: JobContext | None = None) -> list[Any]:
    """Do changes of the metadata in one transaction, on behalf of a job, by default the running one; give what each gives."""
    project._check_open()
    job = job or current_or_none()
    if job is None:
        return project._shared.engine.change_for(Who(project.name), list(changes))
    if not job.is_a_copy and _is_in(job, project):  # by whoever runs the job: that may be another process
        return job.change(*changes)
    job.check_alive()
    who = Who(job.namespace, job.execution_id, job.job, job.number)
    return project._shared.engine.change_for(who, list(changes))


def using(project: Project, version: Version) -> None:
    """Record that the running job, if there is one, works on a version; once, however often it says so."""
    job, key = current_or_none(), (version.kind, version.name, version.number, version.home)
    if job is not None and key not in job.used and not job.is_over and not job.is_a_copy:
        do(project, use_of(version))
        job.used.add(key)


def _is_in(job: JobContext, project: Project) -> bool:
    own = job.project
    return own is not None and own.home == project.home


def folder_now(job: JobContext | None = None) -> str:
    """Give where relative uris begin: in a job the folder of the workflow's file, else the working directory."""
    job = job or current_or_none()
    return (job.folder if job is not None else "") or os.getcwd()


def page(limit: int | None, offset: int) -> str:
    """Give the end of a statement that lists a part."""
    for what, value in (("limit", limit), ("offset", offset)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise ParameterError(f"{what} must be a whole number ≥ 0, not {value!r}")
    return f" LIMIT {-1 if limit is None else limit} OFFSET {offset}"


class HasVersions(HasCard):
    """Something that is registered, shown by what was said of it and by its versions, the newest first."""

    __slots__ = ()
    kind: ClassVar[str]
    name: str

    def _facts(self) -> dict[str, Any]:
        raise NotImplementedError

    def versions(self) -> list[Any]:
        """Give the versions, oldest first."""
        raise NotImplementedError

    def latest(self) -> Version | None:
        """Give the newest version; None if there is none yet."""
        raise NotImplementedError

    def _card(self) -> Card:
        return Card(
            kind=self.kind, name=self.name, facts=self._facts(), parts=[listed(self.versions()[::-1], "version")]
        )

    def _row(self) -> dict[str, Any]:
        latest = self.latest()
        return {self.kind: self.name, "latest": None if latest is None else str(latest), **self._facts()}


class Registry(HasList, Generic[R]):
    """The view of one kind of registered things."""

    kind: ClassVar[str]
    declared: ClassVar[type[Dataset] | type[Model] | type[Artifact]]
    _filters: ClassVar[tuple[str, ...]]

    @property
    def _table(self) -> str:
        return KINDS[self.kind].table

    def _made(self, row: Mapping[str, Any]) -> R:
        raise NotImplementedError

    def register(self, value: Any, **fields: Any) -> R:
        """Register something by what was declared, or by a name and fields; again with the same fields, it is the same row.

        Parameters
        ----------
        value
            What was declared, or a name.
        **fields
            With a name: the fields.

        Raises
        ------
        Conflict
            If the name is registered with another value of a field that says what it is; the message shows how to change it.
        """
        if isinstance(value, str):
            known = self._known
            for field in fields:
                if field not in known:
                    raise ParameterError(f"a {self.kind} has no field {field!r}{suggest(field, known)}")
            value = self.declared(value, **fields)
        elif not isinstance(value, self.declared) or fields:
            raise ParameterError(f"register takes an af.{self.declared.__name__}, or a name and fields, not {value!r}")
        return self._made(do(self._project, registration(value, folder_now()))[0])

    @property
    def _known(self) -> list[str]:
        """What can be said of one besides its name."""
        return [field.name for field in dataclasses.fields(self.declared) if field.name != "name"]

    def _asked(self, asked: Any) -> str | int:
        """Give the name or id by which something is asked for; what was declared, is registered or is a version has a name."""
        if isinstance(asked, str | int) and not isinstance(asked, bool):
            return asked
        if getattr(asked, "kind", None) == self.kind:
            return str(asked.name)
        raise ParameterError(
            f"a {self.kind} is asked for by name or id, or by an af.{self.declared.__name__}, not by {asked!r}"
        )

    def find(self, name_or_id: Any) -> R | None:
        """Give what is registered under a name or an id; None if nothing is."""
        row = self._row(name_or_id)
        return None if row is None else self._made(row)

    def get(self, name_or_id: Any) -> R:
        """Give what is registered under a name or an id; a declaration, or a version, stands for its name.

        Raises
        ------
        NotFound
            If nothing is; close names are listed.
        """
        found = self.find(name_or_id)
        if found is None:
            raise NotFound(self.kind, name_or_id, self._names())
        return found

    def list(self, limit: int | None = 100, offset: int = 0, **filters: Any) -> list[R]:
        """Give what is registered, by name; filter by fields, names take globs."""
        clause, values = self._where(filters)
        rows = self._rows(f"{clause} AND deleted IS NULL ORDER BY name{page(limit, offset)}", values)
        return Listing((self._made(row) for row in rows), self.kind)

    def count(self, **filters: Any) -> int:
        """Count what is registered; the filters are those of `list`."""
        clause, values = self._where(filters)
        found = self._project._store.row(
            f"SELECT count(*) FROM {self._table} WHERE {clause} AND deleted IS NULL", values
        )
        return int(found[0]) if found else 0

    def update(self, name_or_id: Any, **fields: Any) -> R:
        """Change some fields; what is the same already changes nothing.

        Raises
        ------
        NotFound
            If there is none.
        ParameterError
            If there is no such field, or it takes no such value; nothing is changed.
        """
        name = self._asked(name_or_id)
        row = self._row(name)
        if row is not None:  # what is said is checked, and put into words, as a declaration is
            said = {field: fields.get(field, row[field]) for field in self._known}
            checked = self.declared(row["name"], **said).fields()
            fields = {field: checked.get(field, value) for field, value in fields.items()}
            if "uri" in fields and "uri" in checked:  # one that is relative begins where the one before did
                fields["folder"] = folder_for(fields["uri"], row["folder"] or folder_now())
        change = Change("update", {"kind": self.kind, "name_or_id": name, "fields": fields})
        return self._made(do(self._project, change)[0])

    def delete(self, name_or_id: Any) -> None:
        """Forget it: its name is free then, and its versions are still there to be asked for by lineage.

        Raises
        ------
        NotFound
            If there is none.
        """
        do(self._project, Change("delete", {"kind": self.kind, "name_or_id": self._asked(name_or_id)}))

    def _row(self, name_or_id: Any) -> dict[str, Any] | None:
        for column, value in ways_to(self._asked(name_or_id)):
            found = self._rows(f"{column} = ? AND deleted IS NULL", (value,))
            if found:
                return found[0]
        return None

    def _where(self, filters: dict[str, Any]) -> tuple[str, Sequence[Any]]:
        return where(filters, self._filters, self._table)

    def _rows(self, clause: str, values: Any) -> Sequence[dict[str, Any]]:
        return select(self._project._store, self._table, clause, values)

    def _names(self) -> Sequence[str]:
        rows = self._project._store.rows(f"SELECT name FROM {self._table} WHERE deleted IS NULL")
        return [row[0] for row in rows]
