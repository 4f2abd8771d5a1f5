"""How tables fit into terminals."""

from datetime import UTC, datetime, timedelta

import pytest

from aiflow.cli.drawing import lines_of
from aiflow.cli.formats import Table

ROWS = [
    {"id": "k3vq2m8xw4ab", "status": "SUCCESS", "note": ""},
    {"id": "w2ma5cuudwwc", "status": "INTERRUPTED", "note": "its process is gone; " * 3},
]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOTED = Table(ROWS, {"ID": "id", "STATUS": "status", "NOTE": "note"}, wide=("NOTE",))


def drawn(table: Table, room: int) -> list[str]:
    return [line.plain for line in lines_of(table, room, NOW.timestamp())]


@pytest.mark.parametrize("room", [1, 20, 40, 60, 80, 200])
def test_ids_and_statuses_stand_whole_in_any_terminal(room: int) -> None:
    text = "\n".join(drawn(NOTED, room))
    assert all(row["id"] in text and row["status"] in text for row in ROWS)


def test_wide_cells_are_cut_where_the_terminal_is_narrow() -> None:
    lines = drawn(NOTED, 50)
    assert max(map(len, lines)) <= 50
    assert lines[2] == "w2ma5cuudwwc  INTERRUPTED  its process is gone; i…"


def test_wide_cells_that_would_get_next_to_nothing_stand_below() -> None:
    assert drawn(NOTED, 30) == [
        "ID            STATUS",
        "  NOTE",
        "k3vq2m8xw4ab  SUCCESS",
        "w2ma5cuudwwc  INTERRUPTED",
        "  " + ROWS[1]["note"].rstrip(),
    ]


def test_a_table_that_fits_is_not_cut() -> None:
    assert drawn(NOTED, 200)[2].endswith("its process is gone;")
    assert drawn(Table([], {"ID": "id"}), 80) == ["ID"]


def test_times_are_told_from_now_and_columns_without_anything_are_left_out() -> None:
    rows = [{"id": "a", "then": NOW - timedelta(seconds=90), "note": ""}]
    assert drawn(Table(rows, {"ID": "id", "THEN": "then", "NOTE": "note"}, wide=("NOTE",)), 80) == [
        "ID  THEN",
        "a   1 min ago",
    ]
