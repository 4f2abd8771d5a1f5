"""How cells are ordered and placed in columns, so that wires from column to column are short and cross little.

Knows nothing of what the cells stand for. Barycentre sweeps order a column (Sugiyama, Tagawa and Toda 1981); where to
put its cells is a least squares question with a smallest distance between neighbours, that is isotonic regression.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import pairwise

from aiflow.graph.topology import longest_paths

__all__ = ["Cell", "Chains", "arrange", "climb", "ranks", "spread"]

_ORDER_SWEEPS = 10
_PLACE_SWEEPS = 24
_BAND = 24.0


class Cell:
    """A box, a frame, a port or a place where a wire passes a column; `y` is its middle."""

    __slots__ = ("after", "before", "column", "gap", "height", "is_wire", "position", "width", "x", "y")

    def __init__(self, column: int, width: float, height: float, *, gap: float = 16.0, is_wire: bool = False) -> None:
        self.column, self.width, self.height, self.gap, self.is_wire = column, width, height, gap, is_wire
        self.x = self.y = 0.0
        self.position = 0
        self.before: list[tuple[Cell, float, float]] = []
        self.after: list[tuple[Cell, float, float]] = []

    def sides(self, forward: bool) -> list[tuple[Cell, float, float]]:
        """Give what this is joined to in the column before (going forward) or after: cell, its offset, own offset."""
        return self.before if forward else self.after


class Chains:
    """Leads wires through the columns between their ends; wires of one bundle share the places where they pass.

    They part before the columns of labels: what is open there is wide enough.
    """

    def __init__(self, columns: list[list[Cell]], of_labels: Collection[int]) -> None:
        self.columns, self.of_labels = columns, of_labels
        self.places: dict[tuple[Hashable, int, int], Cell] = {}
        self.joined: set[tuple[int, int, float, float]] = set()

    def lead(
        self,
        bundle: Hashable,
        a: Cell,
        b: Cell,
        start: float,
        end: float,
        label: tuple[float, float] | None = None,
    ) -> list[Cell]:
        """Lead a wire from `a` to `b`, and give the cells along it.

        `start` and `end` say how far from their middles it ends; a label takes room in the middle of the places passed.
        """
        cells = [a, *(self._place(bundle, column, b) for column in range(a.column + 1, b.column)), b]
        if label is not None:
            middle = cells[len(cells) // 2]
            middle.width, middle.height = label[0] + 16, label[1]
        for here, there in pairwise(cells):
            self._join(here, there, start if here is a else 0.0, end if there is b else 0.0)
        return cells

    def _place(self, bundle: Hashable, column: int, b: Cell) -> Cell:
        key = bundle, column, id(b) if column in self.of_labels and column + 1 == b.column else 0
        if key not in self.places:
            cell = self.places[key] = Cell(column, 0.0, 2.0, gap=10.0, is_wire=True)
            self.columns[column].append(cell)
        return self.places[key]

    def _join(self, a: Cell, b: Cell, a_offset: float, b_offset: float) -> None:
        key = id(a), id(b), a_offset, b_offset
        if key not in self.joined:
            self.joined.add(key)
            a.after.append((b, b_offset, a_offset))
            b.before.append((a, a_offset, b_offset))


def ranks(count: int, edges: Sequence[tuple[int, int, bool]]) -> list[int]:
    """Give each of `count` things its column, so that every edge goes to another column, and a firm one to the right.

    Parameters
    ----------
    count
        How many things there are.
    edges
        Source, target, and whether it is firm. One that would close a cycle goes to the left; of those, firm ones last.
    """
    needs: list[set[int]] = [set() for _ in range(count)]
    firm = [(a, b) for a, b, is_firm in edges if is_firm]
    loose = [(a, b) for a, b, is_firm in edges if not is_firm]
    _add_without_cycles(needs, firm)
    # Loose edges that agree with one order close no cycle together; the rest is tried one by one.
    order = [(depth or 0, i) for i, depth in enumerate(longest_paths(needs))]
    agreeing = [(a, b) for a, b in loose if order[a] < order[b]]
    for a, b in agreeing:
        needs[b].add(a)
    _add_one_by_one(needs, [(a, b) for a, b in loose if order[a] > order[b]])
    found = [depth or 0 for depth in longest_paths(needs)]
    leads_to: list[list[int]] = [[] for _ in range(count)]
    for b, sources in enumerate(needs):
        for a in sources:
            leads_to[a].append(found[b])
    return [min(leads_to[i]) - 1 if not needs[i] and leads_to[i] else found[i] for i in range(count)]


def _add_without_cycles(needs: list[set[int]], edges: Sequence[tuple[int, int]]) -> None:
    whole = [set(sources) for sources in needs]
    for a, b in edges:
        whole[b].add(a)
    if None in longest_paths(whole):
        _add_one_by_one(needs, edges)
    else:
        needs[:] = whole


def _add_one_by_one(needs: list[set[int]], edges: Sequence[tuple[int, int]]) -> None:
    for a, b in edges:
        upstream, seen = [a], {a}
        while upstream:
            for i in needs[upstream.pop()] - seen:
                seen.add(i)
                upstream.append(i)
        if b not in seen:
            needs[b].add(a)


def arrange(columns: Sequence[list[Cell]]) -> None:
    """Order the cells of each column in place, and set their `y`; the topmost edge is at 0."""
    _order(columns)
    for column in columns:
        _stack(column)
    for sweep in range(_PLACE_SWEEPS):
        both = sweep >= _PLACE_SWEEPS // 2
        forward = sweep % 2 == 0
        for column in columns if forward else columns[::-1]:
            _pull(column, forward, both)
    _close_bands([cell for column in columns for cell in column])


def spread(wanted: Sequence[float], weights: Sequence[float], distances: Sequence[float]) -> list[float]:
    """Give places in order, each as near to the wanted one as the distances allow (least squares).

    Parameters
    ----------
    wanted, weights
        For each the place it would have alone, and how much that counts.
    distances
        The smallest distance of each but the first from the one before.

    Examples
    --------
    >>> spread([0, 0, 9], [1, 1, 1], [2, 2])
    [-1.0, 1.0, 9.0]
    """
    shift, shifts = 0.0, [0.0]
    for distance in distances:
        shift += distance
        shifts.append(shift)
    blocks: list[tuple[float, float, int]] = []  # weighted sum, weight, count: pooled while out of order
    for place, weight, moved in zip(wanted, weights, shifts, strict=False):
        total, mass, count = (place - moved) * weight, weight, 1
        while blocks and blocks[-1][0] * mass >= total * blocks[-1][1]:
            t, m, c = blocks.pop()
            total, mass, count = total + t, mass + m, count + c
        blocks.append((total, mass, count))
    level = [total / mass for total, mass, count in blocks for _ in range(count)]
    return [place + moved for place, moved in zip(level, shifts, strict=False)]


def _order(columns: Sequence[list[Cell]]) -> None:
    _number(columns)
    best, fewest = [list(column) for column in columns], _crossings(columns)
    for sweep in range(_ORDER_SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        for column in columns if forward else columns[::-1]:
            column.sort(key=_barycentre(forward))
            _number([column])
        crossings = _crossings(columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    for column, order in zip(columns, best, strict=True):
        column[:] = order
    _number(columns)


def _number(columns: Sequence[list[Cell]]) -> None:
    for column in columns:
        for position, cell in enumerate(column):
            cell.position = position


def _end(cell: Cell, offset: float) -> float:
    """Give where a wire ends in the order of a column: a frame's ports lie within its place."""
    return cell.position + (0.9 * offset / cell.height if offset else 0.0)


def _barycentre(forward: bool) -> Callable[[Cell], float]:
    def key(cell: Cell) -> float:
        ends = [_end(other, offset) for other, offset, _ in cell.sides(forward)]
        return sum(ends) / len(ends) if ends else float(cell.position)

    return key


def _crossings(columns: Sequence[list[Cell]]) -> int:
    count = 0
    for column in columns:
        wires = sorted((_end(a, own), _end(b, off)) for a in column for b, off, own in a.after)
        seen: list[float] = []
        for _, end in wires:
            count += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return count


def _distance(above: Cell, below: Cell) -> float:
    return (above.height + below.height) / 2 + max(above.gap, below.gap)


def _close_bands(cells: Sequence[Cell]) -> None:
    """Move everything up, over bands that nothing lies in; the topmost edge is then at 0."""
    shift, bottom = 0.0, None
    for cell in sorted(cells, key=lambda cell: cell.y - cell.height / 2):
        top = cell.y - cell.height / 2
        if bottom is None:
            shift = top
        else:
            shift += max(0.0, top - bottom - _BAND)
        bottom = max(bottom or top, cell.y + cell.height / 2)
        cell.y = round(cell.y - shift, 1)


def climb(column: Sequence[Cell]) -> float:
    """Give how far up or down the steepest wire goes from this column to the next."""
    return max((abs(b.y + off - cell.y - own) for cell in column for b, off, own in cell.after), default=0.0)


def _stack(column: Sequence[Cell]) -> None:
    for above, below in pairwise(column):
        below.y = above.y + _distance(above, below)
    middle = (column[0].y + column[-1].y) / 2 if column else 0.0
    for cell in column:
        cell.y -= middle


def _pull(column: Sequence[Cell], forward: bool, both: bool) -> None:
    """Move the cells of a column towards what they are joined to."""
    wanted, weights = [], []
    for cell in column:
        sides = [*cell.before, *cell.after] if both else cell.sides(forward)
        place, weight = cell.y * 0.01, 0.01
        for other, offset, own in sides:
            # A wire is straightest where it is long: two passing places hold together most.
            pull = 6.0 if cell.is_wire and other.is_wire else 2.0 if cell.is_wire or other.is_wire else 1.0
            place += pull * (other.y + offset - own)
            weight += pull
        wanted.append(place / weight)
        weights.append(weight)
    distances = [_distance(above, below) for above, below in pairwise(column)]
    for cell, y in zip(column, spread(wanted, weights, distances), strict=True):
        cell.y = y
