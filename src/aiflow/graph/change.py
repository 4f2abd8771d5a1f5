"""A change of the metadata, as what it is: data that travels, and is done in a turn by whoever holds it.

Knows nothing of tables; what each operation means stands in the ledger.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from aiflow.graph.place import folder_for

__all__ = ["Change", "Who", "registration"]


class Who(NamedTuple):
    """On whose behalf something is changed: a job execution, or somebody outside of any (then all but the first is None)."""

    namespace: str
    execution_id: str | None = None
    job: str | None = None
    number: int | None = None


class Change(NamedTuple):
    """One operation on the metadata.

    Attributes
    ----------
    op
        Its name in the ledger: ``"log_model"``.
    fields
        Its arguments: JSON data, for it may come from another process.
    """

    op: str
    fields: dict[str, Any]

    @property
    def gives(self) -> str | None:
        """Of what kind the version is that it gives, if it gives one."""
        return _GIVES.get(self.op)

    @property
    def is_traced(self) -> bool:
        """Whether lineage may follow from it: of values of metrics, none does, and there are many of them."""
        return self.op != "log_metrics"


def registration(declared: Any, folder: str) -> Change:
    """Give the change that registers what was declared.

    Parameters
    ----------
    declared
        An `aiflow.Dataset`, `aiflow.Model` or `aiflow.Artifact`.
    folder
        Where a relative uri of it begins.
    """
    fields = declared.fields()
    if "uri" in fields:
        fields["folder"] = folder_for(fields["uri"], folder)
    return Change("register", {"kind": declared.kind, "name": declared.name, "fields": fields})


_GIVES = {
    "log_model": "model", "set_stage": "model", "reach_stage": "model", "log_dataset": "dataset", "log_artifact": "artifact",
}  # fmt: skip
