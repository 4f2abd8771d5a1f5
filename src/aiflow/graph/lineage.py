"""How a lineage is shown: as a picture, as Mermaid text, and as a tree of lines.

Knows nothing of where it is recorded, nor of networkx; things are asked for their names alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiflow.graph.picture import URGENCY, Arrow, Box, Frame, Picture, Shape, clean

__all__ = ["Shown", "picture_of", "tree_of"]

_MOST_BOXES, _MOST_ARROWS = 120, 2000
_MOST_LINES, _DEEPEST, _MOST_ALIKE = 400, 60, 6
"""Of a tree: lines, steps to the right, and leaves of one name beside each other."""


class Shown:
    """A `networkx.DiGraph` of what came from what, which shows itself as a picture in notebooks and prints as a tree.

    Its nodes are `DatasetVersion`, `ModelVersion`, `ArtifactVersion` and `JobExecution`. ``graph.nodes[x]["kind"]`` is
    ``"dataset"``, ``"model"``, ``"artifact"`` or ``"job"``; a job has `workflow`, too. ``graph.edges[x, y]["time"]`` is when
    it was recorded that `y` came from `x`. ``graph.graph["asked"]`` is what was asked about, and ``graph.graph["direction"]``
    ``"upstream"`` or ``"downstream"``.
    """

    def to_svg(self) -> str:
        """Give it as a picture, an SVG text: a frame for each execution, and in it what its jobs did and made."""
        from aiflow.graph.svg import write_svg

        return write_svg(picture_of(self, _MOST_BOXES, _MOST_ARROWS))

    def to_mermaid(self) -> str:
        """Give it as Mermaid text."""
        from aiflow.graph.drawing import MERMAID_ARROWS, write_mermaid

        return write_mermaid(picture_of(self, _MOST_BOXES, MERMAID_ARROWS))

    def __repr__(self) -> str:
        return f"<{picture_of(self, 0, 0).title}>"

    def __str__(self) -> str:
        return "\n".join(tree_of(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        drawn = self.to_svg()
        return {"text/html": drawn, "image/svg+xml": drawn, "text/plain": str(self)}


# --- the picture ------------------------------------------------------------------------------------------------------


def picture_of(lineage: Any, most_boxes: int, most_arrows: int) -> Picture:
    """Decide what is drawn.

    Things are boxes, in a frame for the execution that they belong to. If there are too many, those that are alike and
    have the same neighbours are one box; then the runs of one job in one execution are, and the versions that they
    made; then those of all executions of one workflow. What is still too much is left out, and noted.
    """
    names = _Names(lineage)
    for key in (names.each, names.by_neighbours, names.by_execution, names.by_workflow):
        groups: dict[Any, list[Any]] = {}
        for thing in lineage.nodes:
            groups.setdefault(key(thing), []).append(thing)
        if len(groups) <= most_boxes:
            break
    shown = dict(list(groups.items())[:most_boxes])
    around = [names.frame(things, key != names.by_workflow) for things in shown.values()]
    frames = {frame: i for i, frame in enumerate(dict.fromkeys(frame for frame in around if frame is not None))}
    boxes = [
        names.box(things, -1 if frame is None else frames[frame])
        for things, frame in zip(shown.values(), around, strict=True)
    ]
    place = {thing: i for i, things in enumerate(shown.values()) for thing in things}
    edges = [(a, b) for a, b in lineage.edges if a in place and b in place and not names.is_by_a_version(a, b)]
    pairs = dict.fromkeys((place[a], place[b]) for a, b in edges)
    arrows = [Arrow(a, b, "data") for a, b in pairs if a != b]
    left_out = []
    if len(shown) < len(groups):
        left_out.append(f"{len(lineage.nodes) - len(place)} of {len(lineage.nodes)} versions and jobs")
    if len(arrows) > most_arrows:
        left_out.append(f"{len(arrows) - most_arrows} of {len(arrows)} arrows")
    asked = ", ".join(names.label(thing) for thing in lineage.graph.get("asked", ())[:3])
    where = lineage.graph.get("direction", "lineage")
    return Picture(
        name=asked or "lineage",
        title=f"{where} of {asked}: {len(lineage.nodes)} versions and jobs" if asked else "lineage",
        boxes=boxes,
        arrows=arrows[:most_arrows],
        frames=[Frame(names.frame_label(frame)) for frame in frames],
        note=f"{' and '.join(left_out)} are not drawn" if left_out else "",
    )


class _Names:
    """What is said of the things of one lineage."""

    def __init__(self, lineage: Any) -> None:
        self.lineage = lineage
        self.makers = {  # the job that made a version, if it is there
            thing: next((one for one in lineage.pred[thing] if self.kind(one) == "job"), None)
            for thing in lineage.nodes
        }  # fmt: skip

    def kind(self, thing: Any) -> str:
        found: str = self.lineage.nodes[thing].get("kind", "")
        return found

    def label(self, thing: Any) -> str:
        if self.kind(thing) == "job":
            return f"{thing.job} #{thing.number}" if thing.number > 1 else str(thing.job)
        return str(thing)

    def is_by_a_version(self, source: Any, target: Any) -> bool:
        """Tell whether what one job handed to another is a version that is there, and leads from the one to the other."""
        if self.kind(source) != "job" or self.kind(target) != "job":
            return False
        return any(source in self.lineage.pred[one] for one in self.lineage.pred[target] if self.kind(one) != "job")

    # --- which box, which frame: several ways, from fine to coarse

    def each(self, thing: Any) -> Any:
        return thing

    def by_neighbours(self, thing: Any) -> Any:
        return self.by_workflow(thing), frozenset(self.lineage.pred[thing]), frozenset(self.lineage.succ[thing])

    def by_execution(self, thing: Any) -> Any:
        home = self._job_of(thing)
        return self.kind(thing), self._name(thing), None if home is None else (home.execution_id, home.job)

    def by_workflow(self, thing: Any) -> Any:
        home = self._job_of(thing)
        return self.kind(thing), self._name(thing), None if home is None else (self._workflow(home), home.job)

    def frame(self, things: Sequence[Any], is_fine: bool) -> tuple[str | None, str | None] | None:
        """Give the workflow and, if there is one for all, the execution in whose frame things are drawn; or None.

        A version is drawn beside the job that made it.
        """
        homes = [self._job_of(thing) for thing in things]
        if homes[0] is None:
            return None
        executions = {home.execution_id for home in homes}
        return self._workflow(homes[0]), executions.pop() if is_fine and len(executions) == 1 else None

    def frame_label(self, frame: tuple[str | None, str | None]) -> str:
        return " · ".join(part for part in frame if part)

    def _job_of(self, thing: Any) -> Any:
        return thing if self.kind(thing) == "job" else self.makers[thing]

    def _name(self, thing: Any) -> str:
        return str(thing.job if self.kind(thing) == "job" else thing.name)

    def _workflow(self, job: Any) -> str | None:
        found: str | None = self.lineage.nodes[job].get("workflow")
        return found

    # --- a box

    def box(self, things: Sequence[Any], frame: int) -> Box:
        first, kind = things[0], self.kind(things[0])
        text = self.label(first) if len(things) == 1 else self._name(first)
        hint = "\n".join(self.hint(thing) for thing in things[:5]) + ("\n…" if len(things) > 5 else "")
        if kind == "job":
            counts = Counter(str(thing.status) for thing in things)
            statuses = tuple((status, counts[status]) for status in URGENCY if status in counts)
            return Box(text=text, shape=Shape.JOB, frame=frame, count=len(things), hint=hint, statuses=statuses)
        notes = (kind, *(self.notes(first) if len(things) == 1 else ()))
        return Box(
            text=text, shape=Shape(kind), frame=frame, count=len(things), role=" · ".join(notes), notes=notes, hint=hint
        )

    def notes(self, version: Any) -> Iterator[str]:
        """Say in a word or two what a version is."""
        stage, rows, kind = (getattr(version, name, None) for name in ("stage", "rows", "type"))
        if stage is not None:
            yield str(stage).lower()
        elif rows is not None:
            yield f"{rows:,} row{'s' * (rows != 1)}"
        elif kind:
            yield str(kind)

    def hint(self, thing: Any) -> str:
        if self.kind(thing) == "job":
            return " ".join(part for part in (self.label(thing), self._workflow(thing), thing.execution_id) if part)
        made = getattr(thing, "created", None)
        return f"{self.kind(thing)} {thing}" + (f", {made:%Y-%m-%d %H:%M:%S} UTC" if made is not None else "")


# --- the tree ---------------------------------------------------------------------------------------------------------


def tree_of(lineage: Any) -> Iterator[str]:
    """Give it line by line: below each thing what it came from, or what came from it, as it was asked for.

    What stands in several places is told with all that is below it once.
    """
    names, is_up = _Names(lineage), lineage.graph.get("direction") == "upstream"
    above, below = (lineage.succ, lineage.pred) if is_up else (lineage.pred, lineage.succ)
    roots = [thing for thing in lineage.graph.get("asked", ()) if thing in lineage.nodes]
    roots = roots or [thing for thing in lineage.nodes if not above[thing]] or list(lineage.nodes)
    told: set[Any] = set()
    todo: list[tuple[Any, str, str, str]] = [(thing, "", "", "") for thing in reversed(roots)]
    count = 0
    while todo:
        thing, head, indent, more = todo.pop()
        count += 1
        if count > _MOST_LINES:
            yield f"… and {len(lineage.nodes) - len(told):,} more"
            return
        again = thing in told and bool(below[thing])
        told.add(thing)
        parts = [head + _line(names, thing), *(("(see above)",) if again else ()), *((more,) if more else ())]
        yield clean("  ".join(parts))
        if again:
            continue
        entries = list(_entries(names, below, below[thing]))
        if entries and len(indent) >= 3 * _DEEPEST:
            yield f"{indent}└─ …"
            continue
        for number, (one, said) in enumerate(reversed(entries)):
            todo.append(
                (one, indent + ("└─ " if not number else "├─ "), indent + ("   " if not number else "│  "), said)
            )


def _line(names: _Names, thing: Any) -> str:
    if names.kind(thing) == "job":
        of = f"{names._workflow(thing)} {thing.execution_id}" if names._workflow(thing) else thing.execution_id
        return f"{names.label(thing)}  {of}  {thing.status}"
    return "  ".join([f"{names.kind(thing)} {thing}", *names.notes(thing)])


def _entries(names: _Names, below: Mapping[Any, Any], things: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Put many leaves of one name into one line."""
    leaves = Counter(names.by_workflow(thing) for thing in things if not below[thing])
    seen: set[Any] = set()
    for thing in things:
        key = names.by_workflow(thing)
        if below[thing] or leaves[key] <= _MOST_ALIKE:
            yield thing, ""
        elif key not in seen:
            seen.add(key)
            yield thing, f"… and {leaves[key] - 1:,} more of it"
