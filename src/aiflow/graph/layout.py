"""Where boxes, frames, arrows and labels lie: from sizes and wires to coordinates, left to right in columns.

Knows nothing of jobs and of formats. Each frame is a room laid out by itself, and then one item of the room around it;
a wire into a frame goes through a port in its border.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiflow.graph.columns import Cell, Chains, arrange, climb, ranks

__all__ = ["Layout", "Place", "Point", "Wire", "lay_out"]

PAD, TOP = 18.0, 32.0
"""Space between a frame and what is in it; at the top it has the frame's name."""
GAP = 46.0
"""The smallest space between two columns."""
LOOP = 42.0
"""Space above a box that has a wire to itself."""


class Point(NamedTuple):
    """A point; y grows downwards."""

    x: float
    y: float


class Place(NamedTuple):
    """A rectangle: its left top corner and its size."""

    x: float
    y: float
    width: float
    height: float


_ORIGIN = Point(0.0, 0.0)


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


class _Item(NamedTuple):
    """What a room holds: a box or a frame."""

    is_frame: bool
    number: int


@dataclass(slots=True)
class _Leg:
    """The part of a wire in one room, from left to right: the cells, and how far from their middles it ends there."""

    cells: list[Cell]
    start: float = 0.0
    end: float = 0.0

    def move(self, at_end: bool, by: float) -> None:
        if at_end:
            self.end += by
        else:
            self.start += by


@dataclass(slots=True)
class _Room:
    """What is laid out together. Its coordinates start at its left border and at the top of its highest cell."""

    cells: dict[_Item, Cell | None] = field(default_factory=dict)
    own: list[tuple[int, _Item, _Item]] = field(default_factory=list)
    """Wires between two of its items: wire, left item, right item."""
    through: list[tuple[int, _Item, bool]] = field(default_factory=list)
    """Wires through its border: wire, item, whether through the left one."""
    ports: dict[tuple[Hashable, bool], Cell] = field(default_factory=dict)
    legs: dict[int, _Leg] = field(default_factory=dict)
    columns: list[list[Cell]] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    at: Point = _ORIGIN

    def has_ports(self, on_left: bool) -> bool:
        return any(left == on_left for _, _, left in self.through)


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
        self.rooms = [_Room() for _ in range(len(around) + 1)]  # the last one, with the index -1, holds everything
        for frame, outer in enumerate(around):
            self.rooms[outer].cells[_Item(True, frame)] = None
        for box, frame in enumerate(inside):
            self.rooms[frame].cells[_Item(False, box)] = None
        self.inner_first = [*sorted(range(len(around)), key=lambda f: -len(self._chain(f))), -1]
        self.looped = {wire.source for wire in wires if wire.source == wire.target}
        self.homes: list[int] = [-1] * len(wires)
        self.backwards: list[bool] = [False] * len(wires)
        self.bundles: list[Hashable] = list(range(len(wires)))
        self.ranks: list[dict[_Item, int]] = [{} for _ in self.rooms]

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
        shared: list[list[tuple[int, _Item, _Item]]] = [[] for _ in self.rooms]
        for number, wire in enumerate(self.wires):
            if wire.source == wire.target:
                continue
            ends = [(box, self._chain(self.inside[box])) for box in (wire.source, wire.target)]
            depth = sum(a == b for a, b in zip(ends[0][1], ends[1][1], strict=False))
            self.homes[number] = ends[0][1][depth - 1]
            a, b = (_Item(True, c[depth]) if depth < len(c) else _Item(False, box) for box, c in ends)
            shared[self.homes[number]].append((number, a, b))
        for i, (room, wires) in enumerate(zip(self.rooms, shared, strict=True)):
            place = {item: k for k, item in enumerate(room.cells)}
            found = ranks(len(place), [(place[a], place[b], self.wires[number].firm) for number, a, b in wires])
            self.ranks[i] = dict(zip(place, found, strict=True))
            for number, a, b in wires:
                self._lead(room, number, a, b, self.ranks[i][a] > self.ranks[i][b])

    def _lead(self, room: _Room, number: int, source: _Item, target: _Item, backwards: bool) -> None:
        """Note a wire in the room that its ends share, and as a port of each frame that it goes through."""
        wire = self.wires[number]
        self.backwards[number] = backwards
        if wire.label is None:
            self.bundles[number] = (wire.target if backwards else wire.source, wire.style)
        room.own.append((number, target, source) if backwards else (number, source, target))
        for box, item, on_left in ((wire.source, source, backwards), (wire.target, target, not backwards)):
            chain = self._chain(self.inside[box])
            chain = chain[chain.index(item.number) :] if item.is_frame else []
            inner = [*(_Item(True, frame) for frame in chain[1:]), _Item(False, box)]
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
            cells = chains.lead(self.bundles[number], a, b, start, end, self.wires[number].label)
            room.legs[number] = _Leg(cells, start, end)
        for number, item, on_left in room.through:
            (inner, offset), port = self._end(room, item, number, on_left), self._port(room, number, on_left)
            key = "through", on_left, self.bundles[number]
            if on_left:
                room.legs[number] = _Leg(chains.lead(key, port, inner, 0.0, offset), 0.0, offset)
            else:
                room.legs[number] = _Leg(chains.lead(key, inner, port, offset, 0.0), offset, 0.0)
        arrange(room.columns)
        self._part_ends(room)
        self._set_x(frame)

    def _cell(self, item: _Item, column: int) -> Cell:
        if item.is_frame:
            return Cell(column, self.rooms[item.number].width, self.rooms[item.number].height, gap=20.0)
        width, height = self.sizes[item.number]
        return Cell(column, width, height + LOOP * (item.number in self.looped))

    def _port(self, room: _Room, number: int, on_left: bool) -> Cell:
        key = self.bundles[number], on_left
        if key not in room.ports:
            cell = room.ports[key] = Cell(0 if on_left else len(room.columns) - 1, 0.0, 2.0, gap=8.0, is_wire=True)
            room.columns[cell.column].append(cell)
        return room.ports[key]

    def _end(self, room: _Room, item: _Item, number: int, on_left: bool) -> tuple[Cell, float]:
        """Give the cell of an item, and how far from its middle the wire ends there (a frame's ports lie fast)."""
        cell = room.cells[item]
        assert cell is not None, "the cells of a room are made before its wires"
        if not item.is_frame:
            return cell, LOOP / 2 if item.number in self.looped else 0.0
        inner = self.rooms[item.number]
        return cell, inner.ports[self.bundles[number], on_left].y + TOP - inner.height / 2

    def _part_ends(self, room: _Room) -> None:
        """Give each labelled wire its own end at a box, above or below the common one of wires without labels."""
        boxes = {id(cell): self.sizes[item.number][1] for item, cell in room.cells.items() if not item.is_frame}
        plain = [leg for number, leg in room.legs.items() if self.wires[number].label is None]
        shared = {(id(leg.cells[0]), False) for leg in plain} | {(id(leg.cells[-1]), True) for leg in plain}
        beside = {(id(leg.cells[0]), id(leg.cells[-1])) for leg in plain}
        ends: dict[tuple[int, bool], list[tuple[bool, float, int]]] = {}
        for number, leg in room.legs.items():
            first, last = leg.cells[0], leg.cells[-1]
            for here, there, on_left in ((first, leg.cells[1], False), (last, leg.cells[-2], True)):
                if self.wires[number].label is not None and id(here) in boxes:
                    # Beside a wire without a label it stays above that at both ends, so that they do not cross.
                    below = there.y > here.y and (id(first), id(last)) not in beside
                    ends.setdefault((id(here), on_left), []).append((below, there.y, number))
        for (box, on_left), wires in ends.items():
            above = sum(not below for below, _, _ in wires)
            step = min(11.0, (boxes[box] / 2 - 7) / max(1, above, len(wires) - above))
            for i, (_, _, number) in enumerate(sorted(wires)):
                slot = i - (len(wires) - 1) / 2
                if (box, on_left) in shared:
                    slot = i - above if i < above else i - above + 1
                room.legs[number].move(on_left, slot * step)

    def _set_x(self, frame: int) -> None:
        room, last = self.rooms[frame], len(self.rooms[frame].columns) - 1
        left, right = room.has_ports(True), room.has_ports(False)
        passed = [all(cell.is_wire for cell in column) for column in room.columns]
        gaps = [
            (24.0 if passed[i] or passed[i + 1] else GAP) + min(120.0, 0.12 * climb(room.columns[i]))
            for i in range(last)
        ]
        x = 0.0 if left else PAD
        for column, gap in zip(room.columns, [*gaps, 0.0], strict=True):
            width = max(cell.width for cell in column)
            for cell in column:
                cell.x = x + (width - cell.width) / 2
            room.lefts.append(x)
            room.rights.append(x + width)
            x += width + gap
        bottom = max((cell.y + cell.height / 2 for column in room.columns for cell in column), default=0.0)
        room.width, room.height = x + (0.0 if right else PAD), bottom + 2 * PAD
        if frame >= 0:
            room.width, room.height = max(room.width, self.names[frame] + 2 * PAD), bottom + TOP + PAD
        if right:  # ports stay on the border when the name needs more width
            room.lefts[-1] = room.rights[-1] = room.width

    # -------------------------------------------------------- from rooms to the whole

    def _positions(self) -> tuple[list[Place], list[Place]]:
        nowhere = Place(0.0, 0.0, 0.0, 0.0)
        boxes, frames = [nowhere] * len(self.sizes), [nowhere] * len(self.around)
        self.rooms[-1].at = Point(0.0, PAD)
        for frame in reversed(self.inner_first):
            room = self.rooms[frame]
            for item, cell in room.cells.items():
                assert cell is not None, "every room has been arranged"
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
        parts = [self._along(room, room.legs[number]) for room in self.rooms if number in room.legs]
        points = [point for part in sorted(parts) for point in part]  # legs follow each other from left to right
        return points[::-1] if self.backwards[number] else points

    def _along(self, room: _Room, leg: _Leg) -> list[Point]:
        first, last = leg.cells[0], leg.cells[-1]
        points = [(first.x + first.width, first.y + leg.start), (room.rights[first.column], first.y + leg.start)]
        for cell in leg.cells[1:-1]:
            left, right = room.lefts[cell.column], room.rights[cell.column]
            # Straight past boxes and under labels; among other wires one point is enough, and bends less.
            bends = cell.width == 0.0 and all(other.is_wire for other in room.columns[cell.column])
            points += [((left + right) / 2, cell.y)] if bends else [(left, cell.y), (right, cell.y)]
        points += [(room.lefts[last.column], last.y + leg.end), (last.x, last.y + leg.end)]
        if first.is_wire:
            points[0] = points[1]
        if last.is_wire:
            points[-1] = points[-2]
        return [Point(room.at.x + x, room.at.y + y) for x, y in dict.fromkeys(points)]

    def _label(self, number: int) -> Point | None:
        """Give the middle of a wire's label: at the middle one of the places that it passes."""
        wire, room = self.wires[number], self.rooms[self.homes[number]]
        if wire.label is None or number not in room.legs:
            return None
        middle = room.legs[number].cells[len(room.legs[number].cells) // 2]
        return Point(room.at.x + middle.x + middle.width / 2, room.at.y + middle.y)
