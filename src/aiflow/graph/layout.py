"""Where boxes, frames, arrows and labels lie: from sizes and wires to coordinates, left to right in columns.

Knows nothing of jobs and of formats. Each frame is a room laid out by itself, and then one item of the room around it;
a wire into a frame goes through a port in its border.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiflow.graph.columns import Cell, Chains, arrange, ranks
from aiflow.graph.room import LOOP, PAD, TOP, Item, Leg, Point, Room

__all__ = ["Layout", "Place", "Point", "Wire", "lay_out"]


class Place(NamedTuple):
    """A rectangle: its left top corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Wire:
    """What joins two boxes; a firm one goes from left to right, others where that makes no cycle.

    Wires without a label that leave a box in one style run together. `label` is its width and height.
    """

    source: int
    target: int
    style: str
    firm: bool
    label: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything lies. A wire is a list of points from left to right or back, to be joined by a smooth curve.

    A wire of a box to itself has no points: there are `LOOP` of free space above the box.
    """

    boxes: list[Place]
    frames: list[Place]
    wires: list[list[Point]]
    labels: list[Point | None]
    width: float
    height: float


def lay_out(
    sizes: Sequence[tuple[float, float]],
    inside: Sequence[int],
    around: Sequence[int],
    wires: Sequence[Wire],
    names: Sequence[float],
) -> Layout:
    """Lay boxes out.

    Parameters
    ----------
    sizes
        Width and height of each box.
    inside
        For each box the number of its frame, or -1.
    around
        For each frame the number of the frame around it, or -1.
    wires
        What joins the boxes.
    names
        The width of each frame's name.

    Examples
    --------
    >>> layout = lay_out([(80, 40), (60, 40)], [-1, -1], [], [Wire(0, 1, "data", True)], [])
    >>> [place.y for place in layout.boxes]
    [18.0, 18.0]
    """
    return _Plan(sizes, inside, around, wires, names).draw()


class _Plan:
    """One call of `lay_out`."""

    def __init__(
        self,
        sizes: Sequence[tuple[float, float]],
        inside: Sequence[int],
        around: Sequence[int],
        wires: Sequence[Wire],
        names: Sequence[float],
    ) -> None:
        self.sizes, self.inside, self.around, self.wires, self.names = sizes, inside, around, wires, names
        self.rooms = [Room() for _ in range(len(around) + 1)]  # the last one, with the index -1, holds everything
        for frame, outer in enumerate(around):
            self.rooms[outer].heights[Item(True, frame)] = 0.0
        for box, frame in enumerate(inside):
            self.rooms[frame].heights[Item(False, box)] = sizes[box][1]
        self.inner_first = [*sorted(range(len(around)), key=lambda f: -len(self._chain(f))), -1]
        self.looped = {wire.source for wire in wires if wire.source == wire.target}
        self.homes: list[int] = [-1] * len(wires)
        self.backwards: list[bool] = [False] * len(wires)
        self.bundles: list[Hashable] = list(range(len(wires)))
        self.ranks: list[dict[Item, int]] = [{} for _ in self.rooms]

    def draw(self) -> Layout:
        self._route()
        for frame in self.inner_first:
            self._arrange(frame)
        boxes, frames = self._positions()
        numbers = range(len(self.wires))
        outer = self.rooms[-1]
        return Layout(
            boxes=boxes,
            frames=frames,
            wires=[self._points(number) for number in numbers],
            labels=[self._label(number) for number in numbers],
            width=outer.width,
            height=outer.height,
        )

    def _chain(self, frame: int) -> list[int]:
        """Give the frames around what is in `frame`, from the outermost (-1) to `frame` itself."""
        out = []
        while frame >= 0:
            out.append(frame)
            frame = self.around[frame]
        return [-1, *reversed(out)]

    # -------------------------------------------------------- in which column items lie, and which way wires go

    def _route(self) -> None:
        shared: list[list[tuple[int, Item, Item]]] = [[] for _ in self.rooms]
        for number, wire in enumerate(self.wires):
            if wire.source == wire.target:
                continue
            ends = [(box, self._chain(self.inside[box])) for box in (wire.source, wire.target)]
            depth = sum(a == b for a, b in zip(ends[0][1], ends[1][1], strict=False))
            self.homes[number] = ends[0][1][depth - 1]
            a, b = (Item(True, c[depth]) if depth < len(c) else Item(False, box) for box, c in ends)
            shared[self.homes[number]].append((number, a, b))
        for i, (room, wires) in enumerate(zip(self.rooms, shared, strict=True)):
            place = {item: k for k, item in enumerate(room.heights)}
            found = ranks(len(place), [(place[a], place[b], self.wires[number].firm) for number, a, b in wires])
            self.ranks[i] = dict(zip(place, found, strict=True))
            for number, a, b in wires:
                self._lead(room, number, a, b, self.ranks[i][a] > self.ranks[i][b])

    def _lead(self, room: Room, number: int, source: Item, target: Item, backwards: bool) -> None:
        """Note a wire in the room that its ends share, and as a port of each frame that it goes through."""
        wire = self.wires[number]
        self.backwards[number] = backwards
        if wire.label is None:
            self.bundles[number] = (wire.target if backwards else wire.source, wire.style)
        room.own.append((number, target, source) if backwards else (number, source, target))
        for box, item, on_left in ((wire.source, source, backwards), (wire.target, target, not backwards)):
            chain = self._chain(self.inside[box])
            chain = chain[chain.index(item.number) :] if item.is_frame else []
            inner = [*(Item(True, frame) for frame in chain[1:]), Item(False, box)]
            for frame, within in zip(chain, inner, strict=False):
                self.rooms[frame].through.append((number, within, on_left))

    # -------------------------------------------------------- where the cells of a room lie

    def _arrange(self, frame: int) -> None:
        room, found = self.rooms[frame], self.ranks[frame]
        labelled = {found[a] for n, a, b in room.own if self.wires[n].label is not None and found[b] == found[a] + 1}
        column = int(room.has_ports(True))
        columns = []
        for rank in range(max(found.values(), default=-1) + 1):
            columns.append(column)
            column += 2 if rank in labelled else 1  # labels between two columns have one of their own
        room.columns = [[] for _ in range(column + room.has_ports(False))]
        for item, rank in found.items():
            room.cells[item] = cell = self._cell(item, columns[rank])
            room.columns[cell.column].append(cell)
        chains = Chains(room.columns, {columns[rank] + 1 for rank in labelled})
        for number, left, right in room.own:
            (a, start), (b, end) = self._end(room, left, number, False), self._end(room, right, number, True)
            label = self.wires[number].label
            cells = chains.lead(self.bundles[number], a, b, start, end, label)
            room.legs[number] = Leg(cells, start, end, label is not None)
        for number, item, on_left in room.through:
            (inner, offset), port = self._end(room, item, number, on_left), room.port(self.bundles[number], on_left)
            ends = (port, inner, 0.0, offset) if on_left else (inner, port, offset, 0.0)
            cells = chains.lead(("through", on_left, self.bundles[number]), *ends)
            room.legs[number] = Leg(cells, ends[2], ends[3], self.wires[number].label is not None)
        arrange(room.columns)
        room.part_ends()
        room.set_x(self.names[frame] + 2 * PAD if frame >= 0 else 0.0)
        room.height += TOP if frame >= 0 else PAD

    def _cell(self, item: Item, column: int) -> Cell:
        if item.is_frame:
            return Cell(column, self.rooms[item.number].width, self.rooms[item.number].height, gap=20.0)
        width, height = self.sizes[item.number]
        return Cell(column, width, height + LOOP * (item.number in self.looped))

    def _end(self, room: Room, item: Item, number: int, on_left: bool) -> tuple[Cell, float]:
        """Give the cell of an item, and how far from its middle the wire ends there (a frame's ports lie fast)."""
        if not item.is_frame:
            return room.cells[item], LOOP / 2 if item.number in self.looped else 0.0
        inner = self.rooms[item.number]
        return room.cells[item], inner.ports[self.bundles[number], on_left].y + TOP - inner.height / 2

    # -------------------------------------------------------- from rooms to the whole

    def _positions(self) -> tuple[list[Place], list[Place]]:
        nowhere = Place(0.0, 0.0, 0.0, 0.0)
        boxes, frames = [nowhere] * len(self.sizes), [nowhere] * len(self.around)
        self.rooms[-1].at = Point(0.0, PAD)
        for frame in reversed(self.inner_first):
            room = self.rooms[frame]
            for item, cell in room.cells.items():
                x, y = room.at.x + cell.x, room.at.y + cell.y
                if item.is_frame:
                    frames[item.number] = Place(x, y - cell.height / 2, cell.width, cell.height)
                    self.rooms[item.number].at = Point(x, y - cell.height / 2 + TOP)
                else:
                    width, height = self.sizes[item.number]
                    boxes[item.number] = Place(x, y + cell.height / 2 - height, width, height)
        return boxes, frames

    def _points(self, number: int) -> list[Point]:
        """Give the points along a wire in the direction of its arrow."""
        parts = [room.along(number) for room in self.rooms if number in room.legs]
        points = [point for part in sorted(parts) for point in part]  # legs follow each other from left to right
        return points[::-1] if self.backwards[number] else points

    def _label(self, number: int) -> Point | None:
        wire, room = self.wires[number], self.rooms[self.homes[number]]
        return room.label_of(number) if wire.label is not None and number in room.legs else None
