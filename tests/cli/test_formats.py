"""How tables fit into terminals."""

import pytest

from aiflow.cli.formats import Table, _lines_of

ROWS = [
    {"id": "k3vq2m8xw4ab", "status": "SUCCESS", "note": ""},
    {"id": "w2ma5cuudwwc", "status": "INTERRUPTED", "note": "its process is gone; " * 3},
]
NOTED = Table(ROWS, {"ID": "id", "STATUS": "status", "NOTE": "note"}, wide=("NOTE",))


def drawn(table: Table, room: int) -> list[str]:
    return [line.plain for line in _lines_of(table, room)]


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
