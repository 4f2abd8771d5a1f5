"""What notebooks show of one thing: a card, with what is said of it, tables, pictures and texts.

Knows nothing of how a card is written (`html`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, SupportsIndex, TypeVar, overload

__all__ = [
    "MOST_ROWS",
    "Card",
    "Data",
    "HasCard",
    "Listing",
    "Note",
    "Part",
    "Picture",
    "Rows",
    "Story",
    "is_empty",
    "listed",
]

T = TypeVar("T")
MOST_ROWS = 200
"""So many rows of a table are shown, and the others counted."""


class Rows(NamedTuple):
    """A table. Its cells are any values; what they are says how they are written."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    noun: str = "row"
    """What one of them is called, where some are left out or there are none."""
    more: int = 0
    """How many are left out already."""


class Picture(NamedTuple):
    """A picture, as SVG text of our own making: it is taken as it is."""

    svg: str


class Note(NamedTuple):
    """A line of text."""

    text: str


class Story(NamedTuple):
    """A long text under a heading, such as a traceback; one has to open it, unless it is open."""

    name: str
    head: str
    text: str
    is_open: bool = False


class Data(NamedTuple):
    """A value to be written as JSON, and not as text."""

    value: Any


Part = Rows | Picture | Note | Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is shown of one thing.

    Attributes
    ----------
    kind, name
        What it is, and what it is called.
    status
        Its status or stage, if it has one.
    facts
        What is said of it, by heading; what is empty is left out, and what is secret by its name is hidden.
    parts
        What stands below.
    """

    kind: str
    name: str = ""
    status: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Part] = ()


class HasCard:
    """Something that notebooks show as a card; what it prints as stays as it is."""

    __slots__ = ()

    def _card(self) -> Card:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from aiflow.graph.html import card_html

        return card_html(self._card())


class Listing(list[T], HasCard):
    """A list of things of one kind, that notebooks show as a table; in all else a list.

    The things say by `_row` what stands of each in it, by heading; a dict stands for itself.
    """

    __slots__ = ("noun",)

    def __init__(self, items: Iterable[T] = (), noun: str = "row") -> None:
        super().__init__(items)
        self.noun = noun

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | list[T]:
        return (
            Listing(super().__getitem__(index), self.noun) if isinstance(index, slice) else super().__getitem__(index)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Listing, (list(self), self.noun)

    def _card(self) -> Card:
        return Card(kind="", parts=[listed(self, self.noun)])


def is_empty(value: Any) -> bool:
    """Tell whether there is nothing to show of a value."""
    return value is None or (isinstance(value, str | Mapping) and not value) or value == Data(None)


def listed(things: Sequence[Any], noun: str) -> Rows:
    """Give the first of some things as a table: what `_row` says of each by heading, or what it is, if it is a dict.

    A heading under which nothing would stand is left out.
    """
    found = [thing if isinstance(thing, Mapping) else thing._row() for thing in things[:MOST_ROWS]]
    filled = {head for row in found for head, value in row.items() if not is_empty(value)}
    heads = [head for head in dict.fromkeys(head for row in found for head in row) if head in filled]
    return Rows(heads, [[row.get(head) for head in heads] for row in found], noun, max(0, len(things) - MOST_ROWS))
