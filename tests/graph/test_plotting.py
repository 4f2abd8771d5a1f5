"""Plots: scales with round ticks, pictures that any program can draw, and text that fits into a terminal."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiflow.graph.plotting import svg
from aiflow.graph.scale import number_scale, time_scale
from aiflow.graph.series import MOST_SERIES, Plot, Series, X, runs, thinned
from aiflow.graph.textplot import text

NAN, INF = math.nan, math.inf


def plot(*series: list[float], title: str = "loss", x: X = X.STEP) -> Plot:
    """A plot of values over 0, 1, …"""
    named = [
        Series(f"s{i}" * (len(series) > 1), [(float(n), y) for n, y in enumerate(ys)]) for i, ys in enumerate(series)
    ]
    return Plot(title, tuple(named), x)


# --- scales -----------------------------------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=9), st.integers(2, 9))
def test_a_scale_holds_all_numbers_and_its_ticks_are_apart(values: list[float], most: int) -> None:
    scale = number_scale(values, most)
    assert scale.low <= min(values) <= max(values) <= scale.high
    assert 1 <= len(scale.ticks) <= most + 2
    places = [scale.place(tick.at) for tick in scale.ticks]
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)
    assert all(a < b for a, b in pairwise(places))
    assert len({tick.label for tick in scale.ticks}) == len(scale.ticks)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.12, 0.87], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0.993, 0.9985], ["0.992", "0.994", "0.996", "0.998"]),
        ([-3, 8], ["-5", "0", "5", "10"]),
        ([0, 123456], ["0", "50k", "100k"]),
        ([1e-9, 3e-9], ["1.0e-09", "1.5e-09", "2.0e-09", "2.5e-09", "3.0e-09"]),
        ([5], ["4.4", "4.6", "4.8", "5.0", "5.2", "5.4", "5.6"]),
        ([], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_ticks_are_round_numbers(values: list[float], labels: list[str]) -> None:
    assert [tick.label for tick in number_scale(values).ticks][: len(labels)] == labels


def test_a_scale_of_whole_numbers_ends_where_they_end() -> None:
    scale = number_scale([3, 47], 6, is_whole=True)
    assert (scale.low, scale.high, [t.label for t in scale.ticks]) == (3, 47, ["10", "20", "30", "40"])
    assert [t.label for t in number_scale([0, 1], 6, is_whole=True).ticks] == ["0", "1"]


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.integers(2, 9))
def test_a_scale_of_times_has_ticks_between_its_ends(begin: float, length: float, most: int) -> None:
    scale = time_scale([begin, begin + length], most)
    assert len(scale.ticks) <= most + 2
    assert all(scale.low - 1e-5 <= tick.at <= scale.high + 1e-5 for tick in scale.ticks)
    assert all(a.at < b.at for a, b in pairwise(scale.ticks))
    assert "UTC" in scale.caption


@pytest.mark.parametrize(
    ("seconds", "labels", "caption"),
    [
        (3, ["19:51:32.0", "19:51:32.5", "19:51:33.0"], "2026-11-27, UTC"),
        (300, ["19:52", "19:53", "19:54", "19:55", "19:56"], "2026-11-27, UTC"),
        (30_000, ["20:00", "22:00", "00:00", "02:00", "04:00"], "2026-11-27 to 2026-11-28, UTC"),
        (400_000, ["28 Nov", "29 Nov", "30 Nov", "01 Dec", "02 Dec"], "2026, UTC"),
        (10_000_000, ["Dec 2026", "Jan 2027", "Feb 2027", "Mar 2027"], "2026 to 2027, UTC"),
        (3e9, ["2040", "2060", "2080", "2100", "2120"], "2026 to 2121, UTC"),
    ],
)
def test_times_have_labels_as_people_write_them(seconds: float, labels: list[str], caption: str) -> None:
    scale = time_scale([1795809092.0, 1795809092.0 + seconds])
    assert [tick.label for tick in scale.ticks][: len(labels)] == labels
    assert scale.caption == caption


# --- points -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=500), st.integers(4, 100))
def test_few_points_keep_the_ends_and_the_extremes(ys: list[float], most: int) -> None:
    points = [(float(n), y) for n, y in enumerate(ys)]
    kept = list(thinned(points, most))
    assert len(kept) <= max(most, 4)
    assert kept == sorted(set(kept) & set(points))
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert (min(y for _, y in kept), max(y for _, y in kept)) == (min(ys), max(ys))


def test_what_is_not_finite_makes_a_gap() -> None:
    points = [(float(n), y) for n, y in enumerate([1.0, 2.0, NAN, 3.0, INF, NAN, 4.0])]
    assert [[x for x, _ in run] for run in runs(points)] == [[0, 1], [3], [6]]


# --- the picture ------------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def parts(picture: str, tag: str, kind: str = "") -> list[ElementTree.Element]:
    root = ElementTree.fromstring(picture)
    return [one for one in root.iter(SVG + tag) if one.get("class", "").startswith(kind)]


any_number = st.floats() | st.sampled_from([0.0, 5e-324, 1.7e308, -1.7e308, INF, -INF, NAN])


@given(st.lists(st.lists(any_number, max_size=60), max_size=10), st.sampled_from(X), st.integers(0, 900))
def test_whatever_the_values_all_points_are_inside_the_picture(ys: list[list[float]], x: X, width: int) -> None:
    picture = svg(plot(*ys, x=x), width)
    lines = [one.get("d", "") for one in parts(picture, "path", "line")]
    spots = [tuple(map(float, spot)) for line in lines for spot in re.findall(r"([-\d.]+) ([-\d.]+)", line)]
    spots += [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in parts(picture, "circle")]
    assert all(0 <= a <= max(200, width) and 0 <= b <= 300 for a, b in spots)
    assert "nan" not in " ".join(lines)
    assert len(picture) < 400_000


def test_one_point_is_seen_and_so_is_one_between_gaps() -> None:
    assert len(parts(svg(plot([0.5])), "circle", "dot")) == 1
    gaps = svg(plot([1.0, NAN, 2.0, NAN] * 50 + [3.0, 4.0]))
    assert len(parts(gaps, "circle", "dot")) == 101  # and the last of all
    assert len(parts(gaps, "path", "line")) == 1


def test_nan_breaks_a_line_and_infinity_stands_at_the_edge() -> None:
    picture = svg(plot([1.0, 2.0, NAN, 3.0, 4.0, INF, 3.0, -INF]))
    assert len(parts(picture, "path", "line")) == 2
    assert len(parts(picture, "path", "dot")) == 2


def test_a_million_points_are_a_small_picture() -> None:
    assert len(svg(plot([math.sin(n / 9999) for n in range(1_000_000)]))) < 60_000


def test_a_picture_says_what_is_not_there() -> None:
    assert "no values" in svg(plot([]))
    assert "no values" in svg(Plot("loss", ()))
    assert "no finite values" in svg(plot([NAN, INF]))


def test_names_are_text_and_no_markup() -> None:
    bad = '<script>"&\0\ud800'
    picture = svg(Plot(bad, (Series(bad, [(0.0, 1.0)]), Series(bad, [(0.0, 2.0)]))))
    ElementTree.fromstring(picture)
    assert "<script" not in picture
    assert "last" not in picture  # of several lines, none is the last


def test_several_lines_have_a_legend_and_more_than_enough_are_counted() -> None:
    picture = svg(plot(*[[float(n)] for n in range(MOST_SERIES + 3)]))
    texts = [one.text for one in parts(picture, "text")]
    assert [t for t in texts if t and re.fullmatch(r"s\d+", t)] == [
        f"s{n + 3}" for n in range(MOST_SERIES)
    ]  # the newest
    assert "and 3 more" in texts


def test_pictures_follow_light_and_dark_pages_and_hold_nothing_that_acts() -> None:
    picture = svg(plot([1.0, 2.0]))
    assert "stroke:light-dark(#2563eb,#60a5fa)" in picture
    assert not re.search(r"<script|<foreignObject|href|url\(|\bon\w+=", picture)
    assert picture == svg(plot([1.0, 2.0]))
    assert re.search(r'id="(af-\w+)"', picture) != re.search(r'id="(af-\w+)"', svg(plot([1.0, 3.0])))


# --- text -------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(any_number, max_size=60), max_size=10),
    st.integers(0, 130),
    st.integers(0, 30),
    st.sampled_from(["utf-8", "ascii", "latin-1"]),
    st.text(max_size=90),
    st.sampled_from(X),
)
def test_text_fits_into_its_room_and_its_encoding(
    ys: list[list[float]], width: int, height: int, encoding: str, title: str, x: X
) -> None:
    lines = text(plot(*ys, title=title, x=x), width, height, encoding=encoding).split("\n")
    "".join(lines).encode(encoding)
    assert max(map(len, lines)) <= max(width, 40)
    if len(ys) < 2:
        assert len(lines) == max(height, 7)


def test_a_line_is_drawn_in_braille() -> None:
    assert text(plot([float(n) for n in range(11)]), 40, 9).split("\n") == [
        "loss                             last 10",
        "10 ┤                             ⢀⣀⡠⠤⠒⠒⠉",
        "   │                      ⢀⣀⡠⠤⠒⠒⠉⠁",
        " 5 ┤             ⢀⣀⣀⠤⠤⠤⠒⠒⠉⠁",
        "   │      ⢀⣀⠤⠤⠒⠊⠉⠁",
        " 0 ┤⣀⠤⠤⠒⠊⠉⠁",
        "   └┬─────────────────┬────────────────┬",
        "    0                 5               10",
        "                                    step",
    ]


def test_a_constant_stands_beside_its_label() -> None:
    lines = text(plot([5.0] * 30), 40, 14).split("\n")
    (row,) = [line for line in lines if line.startswith("5.0 ┤")]
    assert len(row) == 40
    assert len(set(row[5:])) == 1


def test_lines_are_told_apart_by_marks_or_by_colours() -> None:
    two = plot([1.0, 2.0], [2.0, 1.0])
    assert "● s0   ▲ s1" in text(two, 40, 10)
    assert "o s0   x s1" in text(two, 40, 10, encoding="ascii")
    coloured = text(two, 40, 10, colours=True)
    assert "\x1b[34m──\x1b[0m s0   \x1b[33m──\x1b[0m s1" in coloured
    assert "●" not in coloured
    assert max(len(re.sub(r"\x1b\[\d+m", "", line)) for line in coloured.split("\n")) <= 40
