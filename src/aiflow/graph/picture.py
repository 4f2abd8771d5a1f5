"""What is drawn of a graph: boxes, arrows and frames, whatever the format of the picture.

Knows nothing of formats, sizes and places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from aiflow.graph.execution import JobStatus
from aiflow.graph.flink import flink_kind
from aiflow.graph.flink_options import FLINK
from aiflow.graph.grouping import Parts, calls, find_parts, group, links
from aiflow.graph.job import JobOptions

if TYPE_CHECKING:
    from aiflow.graph.building import Graph, Node

__all__ = ["Arrow", "Box", "Frame", "Picture", "Shape", "clean", "picture", "shorten"]


class Shape(StrEnum):
    """What a box stands for."""

    JOB = "job"
    STREAM = "stream"
    MAP = "map"
    EVENT = "event"
    MORE = "more"
    DATASET = "dataset"
    MODEL = "model"
    ARTIFACT = "artifact"


URGENCY = ("FAILED", "RETRYING", "RUNNING", "STOPPING", "QUEUED", "INIT", "STOPPED", "SUCCESS", "SKIPPED")
"""Of several nodes in one box, the box shows the status that comes first here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A job, several alike, an event from outside, a version of something, or all that is not drawn."""

    text: str
    shape: Shape
    frame: int = -1
    count: int = 1
    role: str = ""
    notes: tuple[str, ...] = ()
    kind: str = ""  # of a job on Flink: which, in a word or two
    hint: str = ""
    statuses: tuple[tuple[str, int], ...] = ()

    @property
    def is_several(self) -> bool:
        """Whether it stands for several nodes that are alike."""
        return self.count > 1 and self.shape is not Shape.MORE

    @property
    def status(self) -> str:
        """The status to colour it by: the most urgent one, or ''."""
        return self.statuses[0][0] if self.statuses else ""

    @property
    def status_text(self) -> str:
        """The status in small letters; how many nodes have which, if not all have the same."""
        if len(self.statuses) == 1 and self.statuses[0][1] == self.count:
            return self.status.lower()
        return " · ".join(f"{n} {status.lower()}" for status, n in self.statuses[:4])


class Arrow(NamedTuple):
    """An arrow between two boxes, by their places."""

    source: int
    target: int
    kind: str
    labels: tuple[str, ...] = ()


class Frame(NamedTuple):
    """What is drawn around the nodes of a sub-workflow; `parent` is the place of the frame around it, or -1."""

    label: str
    parent: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that is drawn; `note` says what is left out, or is ''. The title is of nodes, if there is none."""

    name: str
    title: str = ""
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    frames: Sequence[Frame]
    note: str = ""


def clean(text: str) -> str:
    """Make one line of a text: what no picture can show, or what would turn the text around, becomes ``�``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if c in "\n\r\t\v\f" else c if _is_shown(c) else "�" for c in text)


def _is_shown(c: str) -> bool:
    """Tell a character that XML 1.0 (section 2.2) allows and that is no control, of direction neither."""
    code = ord(c)
    hidden = code < 32 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE
    return not hidden and c not in "\u2028\u2029\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def shorten(text: str, most: int) -> str:
    """Cut the middle out of a text of more than `most` characters."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]}…{text[len(text) - most + most * 2 // 3 + 1 :]}"


def picture(
    graph: Graph, statuses: Mapping[str, str] | None, most_boxes: int = 300, most_arrows: int = 2000
) -> Picture:
    """Decide what is drawn of a graph.

    Parameters
    ----------
    graph
        The graph of a workflow.
    statuses
        The status of each job by its name; may lack some.
    most_boxes, most_arrows
        If there are more, nodes that are alike become one box; if there are more still, the rest is left out and noted.
    """
    return _Drawer(graph, statuses or {}, most_boxes, most_arrows).draw()


class _Drawer:
    """One call of `picture`."""

    def __init__(self, graph: Graph, statuses: Mapping[str, str], most_boxes: int, most_arrows: int) -> None:
        self.graph, self.statuses, self.most_boxes, self.most_arrows = graph, statuses, most_boxes, most_arrows
        self.links = links(graph)
        self.groups = group(graph, self.links, most_boxes, most_arrows)
        self.members: list[list[Node]] = [[] for _ in range(max(self.groups, default=-1) + 1)]
        for node, number in zip(graph.nodes, self.groups, strict=True):
            self.members[number].append(node)
        self.shown = len(self.members) if len(self.members) <= most_boxes else most_boxes - 1
        self.boxes: list[Box] = []

    def draw(self) -> Picture:
        shown = self.members[: self.shown]
        frames, place = _frames(shown)
        rows = {self.groups[a] for a, b, kind, _ in self.links if kind != "rule" and self.groups[a] == self.groups[b]}
        self.boxes = [
            _box(nodes, place[nodes[0].body.prefix], self.statuses, number in rows)
            for number, nodes in enumerate(shown)
        ]
        hidden = sum(len(nodes) for nodes in self.members[self.shown :])
        if hidden:
            text = f"… {hidden} more nodes"
            self.boxes.append(Box(text=text, shape=Shape.MORE, count=hidden, hint=f"{hidden} nodes are not drawn"))
        arrows = [*self._between_jobs(), *self._from_outside(frames)]
        left_out = [f"{hidden} of {len(self.groups)} nodes"] if hidden else []
        if len(arrows) > self.most_arrows:
            left_out.append(f"{len(arrows) - self.most_arrows} of {len(arrows)} arrows")
        note = f"{' and '.join(left_out)} are not drawn" if left_out else ""
        return Picture(
            name=self.graph.name, boxes=self.boxes, arrows=arrows[: self.most_arrows], frames=frames, note=note
        )

    def _between_jobs(self) -> list[Arrow]:
        """Give the arrows between the boxes of jobs: of data and `after`, data is enough; rules join their labels.

        What is left out gets arrows only from boxes that lead nowhere else.
        """
        found: dict[tuple[int, int, str], dict[str, None]] = {}
        goes_on: set[int] = set()
        for source, target, kind, label in self.links:
            a, b = self.groups[source], self.groups[target]
            if a >= self.shown or (a == b and kind != "rule"):
                continue
            labels = found.setdefault((a, min(b, self.shown), kind), {})
            if b < self.shown:
                goes_on.add(a)
                if label:
                    labels[label] = None
        return [
            Arrow(a, b, kind, tuple(labels))
            for (a, b, kind), labels in found.items()
            if (kind != "after" or (a, b, "data") not in found) and (b < self.shown or a not in goes_on)
        ]

    def _from_outside(self, frames: Sequence[Frame]) -> list[Arrow]:
        """Add a box for each event that rules wait for; give its arrows."""
        waiting: dict[str, dict[tuple[int, str], None]] = {}
        for number, nodes in enumerate(self.members[: self.shown]):
            for action, text in dict.fromkeys(call for node in nodes for call in calls(node)):
                waiting.setdefault(text, {})[number, action] = None
        if len(waiting) > self.most_boxes:
            waiting = self._one_box_of_events_each()
        arrows: list[Arrow] = []
        for text, fed in waiting.items():
            around = _common_frame([self.boxes[number].frame for number, _ in fed], frames)
            self.boxes.append(Box(text=text, shape=Shape.EVENT, frame=around, hint=text))
            actions: dict[int, list[str]] = {}
            for number, action in fed:
                actions.setdefault(number, []).append(action)
            arrows += [Arrow(len(self.boxes) - 1, n, "rule", tuple(labels)) for n, labels in actions.items()]
        return arrows

    def _one_box_of_events_each(self) -> dict[str, dict[tuple[int, str], None]]:
        out: dict[str, dict[tuple[int, str], None]] = {}
        for number, nodes in enumerate(self.members[: self.shown]):
            found = dict.fromkeys(call for node in nodes for call in calls(node))
            if found:
                text = f"{len({t for _, t in found})} events of {self.boxes[number].text}"
                out[text] = dict.fromkeys((number, action) for action, _ in found)
        return out


def _frames(shown: Sequence[Sequence[Node]]) -> tuple[list[Frame], dict[str, int]]:
    """Give the frames, and for each prefix its frame: one per call of a sub-workflow, unless boxes join such calls."""
    parts = find_parts(node for nodes in shown for node in nodes)
    joined = any(node.body.prefix != nodes[0].body.prefix for nodes in shown for node in nodes)
    place: dict[str, int] = {"": -1}
    if not joined:
        place |= {prefix: i for i, prefix in enumerate(parts.parents)}
        return [Frame(_part_name(prefix, parts), place[around]) for prefix, around in parts.parents.items()], place
    paths: dict[tuple[str, ...], int] = {(): -1}
    for prefix in parts.parents:
        paths.setdefault(parts.paths[prefix], len(paths) - 1)
    place |= {prefix: paths[parts.paths[prefix]] for prefix in parts.parents}
    times = Counter(place.values())
    frames = [
        Frame(f"{path[-1]} ×{times[i]}" if times[i] > 1 else path[-1], paths[path[:-1]])
        for path, i in paths.items()
        if path
    ]
    return frames, place


def _part_name(prefix: str, parts: Parts) -> str:
    return prefix[len(parts.parents[prefix]) :].rstrip(".")


def _common_frame(inside: Iterable[int], frames: Sequence[Frame]) -> int:
    """Give the innermost frame around all of these."""
    chains = [_chain(frame, frames) for frame in inside]
    common = -1
    for step in zip(*chains, strict=False):
        if len(set(step)) > 1:
            break
        common = step[0]
    return common


def _chain(frame: int, frames: Sequence[Frame]) -> list[int]:
    out: list[int] = []
    while frame >= 0:
        out.append(frame)
        frame = frames[frame].parent
    return [-1, *reversed(out)]


def _box(nodes: Sequence[Node], frame: int, statuses: Mapping[str, str], in_a_row: bool) -> Box:
    node = nodes[0]
    shape = Shape.STREAM if node.job.is_stream else Shape.MAP if node.mapped else Shape.JOB
    counts = Counter(str(statuses[n.name]) for n in nodes if n.name in statuses)
    notes = [shape.value] if shape is not Shape.JOB else []
    role = "" if node.job.role is None else str(node.job.role)
    notes += [role] if role else []
    kind = flink_kind(node)
    if node.options.runner not in (None, "thread"):
        notes.append(kind or str(node.options.runner))
    if in_a_row:
        notes.append("in a row")
    text = node.name[len(node.body.prefix) :]
    if len(nodes) > 1 and any(n.job.name != node.job.name for n in nodes):
        text = getattr(node.job.function, "__name__", text)
    elif len(nodes) > 1:
        text = node.job.name
    return Box(
        text=text,
        shape=shape,
        frame=frame,
        count=len(nodes),
        role=role,
        notes=tuple(notes),
        kind=kind,
        hint=_hint(node) if len(nodes) == 1 else _hint_of_many(nodes),
        statuses=tuple((s, counts[s]) for s in URGENCY if s in counts and s in tuple(JobStatus)),
    )


_DEFAULTS = JobOptions()


def _hint(node: Node) -> str:
    """Say in lines what the node is: name, job, options that are not the default, rules. No arguments: secrets."""
    lines = [node.name]
    function = getattr(node.job.function, "__name__", "")
    if function and function != node.name[len(node.body.prefix) :]:
        lines.append(f"job: {function}")
    if node.job.role is not None:
        lines.append(f"role: {node.job.role}")
    for option in fields(JobOptions):
        value = getattr(node.options, option.name)
        if option.name == FLINK:
            lines += [f"{key}: {_said(said)}" for key, said in (value.said if value is not None else {}).items()]
        elif option.name != "name" and value != getattr(_DEFAULTS, option.name):
            lines.append(f"{option.name}: {_said(value)}")
    lines += [f"run if {condition.name}" for condition in node.conditions_]
    lines += [str(rule) for rule in node.rules]
    return "\n".join(lines)


def _said(value: Any) -> str:
    """Show an option's value the same each time: no addresses."""
    if isinstance(value, tuple):
        return ", ".join(_said(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={_said(v)}" for k, v in value.items())
    if value is None or isinstance(value, str | int | float):
        return str(value)
    return str(getattr(value, "__name__", type(value).__name__))


def _hint_of_many(nodes: Sequence[Node]) -> str:
    names = ", ".join(node.name for node in nodes[:5])
    return f"{len(nodes)} nodes: {names}{', …' if len(nodes) > 5 else ''}"
