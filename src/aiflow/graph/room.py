"""One room of a layout: cells in columns and the legs of wires between them, with coordinates of their own.

Knows nothing of the rooms around it and in it: a frame is a cell of a known size with ports in its border.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from aiflow.graph.columns import Cell, climb

__all__ = ["LOOP", "PAD", "TOP", "Item", "Leg", "Point", "Room"]

PAD, TOP = 18.0, 32.0
"""Space between a frame and what is in it; at the top it has the frame's name."""
GAP, NARROW = 46.0, 24.0
"""The smallest space between two columns; the same beside a column that wires only pass."""
LOOP = 42.0
"""Space above a box that has a wire to itself."""
STEP = 11.0
"""Between the ends of wires at one side of a box, if it is high enough."""


class Point(NamedTuple):
    """A point; y grows downwards."""

    x: float
    y: float


ORIGIN = Point(0.0, 0.0)


class Item(NamedTuple):
    """What a room holds: a box or a frame."""

    is_frame: bool
    number: int


@dataclass(slots=True)
class Leg:
    """The part of a wire in one room, from left to right: the cells, and how far from their middles it ends there."""

    cells: list[Cell]
    start: float
    end: float
    has_label: bool

    def move(self, on_left: bool, by: float) -> None:
        """Move the end that is on the left side of its cell, or the other one."""
        if on_left:
            self.end += by
        else:
            self.start += by


@dataclass(slots=True)
class Room:
    """What is laid out together. Its coordinates start at its left border and at the top of its highest cell."""

    heights: dict[Item, float] = field(default_factory=dict)
    """Its items, in order, with the heights of boxes; those of frames are known later."""
    own: list[tuple[int, Item, Item]] = field(default_factory=list)
    """Wires between two of its items: wire, left item, right item."""
    through: list[tuple[int, Item, bool]] = field(default_factory=list)
    """Wires through its border: wire, item, whether through the left one."""
    cells: dict[Item, Cell] = field(default_factory=dict)
    ports: dict[tuple[Hashable, bool], Cell] = field(default_factory=dict)
    legs: dict[int, Leg] = field(default_factory=dict)
    columns: list[list[Cell]] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    at: Point = ORIGIN

    def has_ports(self, on_left: bool) -> bool:
        """Tell whether wires go through its border on this side."""
        return any(left == on_left for _, _, left in self.through)

    def port(self, bundle: Hashable, on_left: bool) -> Cell:
        """Give the cell in the border that a bundle of wires goes through."""
        key = bundle, on_left
        if key not in self.ports:
            cell = self.ports[key] = Cell(0 if on_left else len(self.columns) - 1, 0.0, 2.0, gap=8.0, is_wire=True)
            self.columns[cell.column].append(cell)
        return self.ports[key]

    def part_ends(self) -> None:
        """Give each labelled wire its own end at a box, above or below the common one of wires without labels."""
        boxes = {id(cell): self.heights[item] for item, cell in self.cells.items() if not item.is_frame}
        plain = [leg for leg in self.legs.values() if not leg.has_label]
        shared = {(id(leg.cells[0]), False) for leg in plain} | {(id(leg.cells[-1]), True) for leg in plain}
        beside = {(id(leg.cells[0]), id(leg.cells[-1])) for leg in plain}
        ends: dict[tuple[int, bool], list[tuple[bool, float, int]]] = {}
        for number, leg in self.legs.items():
            first, last = leg.cells[0], leg.cells[-1]
            for here, there, on_left in ((first, leg.cells[1], False), (last, leg.cells[-2], True)):
                if leg.has_label and id(here) in boxes:
                    # Beside a wire without a label it stays above that at both ends, so that they do not cross.
                    below = there.y > here.y and (id(first), id(last)) not in beside
                    ends.setdefault((id(here), on_left), []).append((below, there.y, number))
        for (box, on_left), wires in ends.items():
            above = sum(not below for below, _, _ in wires)
            step = min(STEP, (boxes[box] / 2 - 7) / max(1, above, len(wires) - above))
            for i, (_, _, number) in enumerate(sorted(wires)):
                slot = i - (len(wires) - 1) / 2
                if (box, on_left) in shared:
                    slot = i - above if i < above else i - above + 1
                self.legs[number].move(on_left, slot * step)

    def set_x(self, least: float) -> None:
        """Set the `x` of all cells, and the size of the room around them; it is at least so wide."""
        left, right = self.has_ports(True), self.has_ports(False)
        x, was_passed = 0.0 if left else PAD, True
        for i, column in enumerate(self.columns):
            is_passed = all(cell.is_wire for cell in column)
            if i:
                x += (NARROW if is_passed or was_passed else GAP) + min(120.0, 0.12 * climb(self.columns[i - 1]))
            width = max(cell.width for cell in column)
            for cell in column:
                cell.x = x + (width - cell.width) / 2
            self.lefts.append(x)
            x += width
            self.rights.append(x)
            was_passed = is_passed
        self.width = max(x + (0.0 if right else PAD), least)
        self.height = max((cell.y + cell.height / 2 for column in self.columns for cell in column), default=0.0) + PAD
        if right:  # the ports lie on the border, also where the room is wider than what it holds
            self.lefts[-1] = self.rights[-1] = self.width

    def along(self, number: int) -> list[Point]:
        """Give the points along a wire in this room, from left to right."""
        leg = self.legs[number]
        first, last = leg.cells[0], leg.cells[-1]
        start, end = first.y + leg.start, last.y + leg.end
        points = [] if first.is_wire else [(first.x + first.width, start)]
        points.append((self.rights[first.column], start))
        for cell in leg.cells[1:-1]:
            left, right = self.lefts[cell.column], self.rights[cell.column]
            # Straight past boxes and under labels; among other wires one point is enough, and bends less.
            bends = cell.width == 0.0 and all(other.is_wire for other in self.columns[cell.column])
            points += [((left + right) / 2, cell.y)] if bends else [(left, cell.y), (right, cell.y)]
        points.append((self.lefts[last.column], end))
        if not last.is_wire:
            points.append((last.x, end))
        return [Point(self.at.x + x, self.at.y + y) for x, y in dict.fromkeys(points)]

    def label_of(self, number: int) -> Point:
        """Give the middle of a wire's label: at the middle one of the places that it passes."""
        cells = self.legs[number].cells
        middle = cells[len(cells) // 2]
        return Point(self.at.x + middle.x + middle.width / 2, self.at.y + middle.y)
