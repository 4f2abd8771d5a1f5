"""Where the boxes, frames and wires of a picture lie."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from aiflow.graph.columns import ranks, spread
from aiflow.graph.layout import Layout, Place, Wire, lay_out


@st.composite
def drawings(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[int], list[int], list[Wire]]:
    """Sizes of boxes, their frames, the frames around those, and wires in any direction."""
    count = draw(st.integers(1, 14))
    around = [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(0, 4)))]
    inside = [*range(len(around)), *(draw(st.integers(-1, len(around) - 1)) for _ in range(count))]
    sizes = [(draw(st.integers(40, 200)), draw(st.integers(30, 60))) for _ in inside]
    box = st.integers(0, len(inside) - 1)
    wire = st.builds(
        Wire,
        box,
        box,
        st.sampled_from(["data", "after", "rule"]),
        st.booleans(),
        st.none() | st.tuples(st.floats(10, 150), st.just(16.0)),
    )
    return sizes, inside, around, draw(st.lists(wire, max_size=25))


def overlap(a: Place, b: Place) -> bool:
    return (
        a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height - 0.2 and b.y < a.y + a.height - 0.2
    )  # coordinates are rounded to tenths


def holds(outer: Place, inner: Place) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width + 0.2
        and inner.y + inner.height <= outer.y + outer.height + 0.2
    )


def lay(drawing) -> Layout:
    sizes, inside, around, wires = drawing
    return lay_out(sizes, inside, around, wires, [60.0] * len(around))


@given(drawings())
def test_boxes_never_overlap_and_lie_in_their_frames(drawing):
    _, inside, around, _ = drawing
    layout = lay(drawing)
    whole = Place(0, 0, layout.width, layout.height)
    assert not any(overlap(a, b) for a, b in combinations(layout.boxes, 2))
    for box, frame in zip(layout.boxes, inside, strict=True):
        assert holds(layout.frames[frame] if frame >= 0 else whole, box)
    for place, frame in zip(layout.frames, around, strict=True):
        assert holds(layout.frames[frame] if frame >= 0 else whole, place)


@given(drawings())
def test_a_box_lies_in_no_frame_but_those_around_it(drawing):
    _, inside, around, _ = drawing
    layout = lay(drawing)
    for box, frame in zip(layout.boxes, inside, strict=True):
        chain = set()
        while frame >= 0:
            chain.add(frame)
            frame = around[frame]
        assert not any(overlap(box, place) for i, place in enumerate(layout.frames) if i not in chain)


@given(drawings())
def test_each_wire_goes_from_the_side_of_its_source_to_the_side_of_its_target(drawing):
    layout, wires = lay(drawing), drawing[3]
    for wire, points in zip(wires, layout.wires, strict=True):
        if wire.source == wire.target:
            assert not points
            continue
        source, target = layout.boxes[wire.source], layout.boxes[wire.target]
        forward = points[-1].x > points[0].x
        assert abs(points[0].x - (source.x + source.width * forward)) < 0.2
        assert abs(points[-1].x - (target.x + target.width * (not forward))) < 0.2
        assert all((a.x <= b.x + 0.01) if forward else (a.x >= b.x - 0.01) for a, b in pairwise(points))
        for box, end in ((source, points[0]), (target, points[-1])):
            assert box.y <= end.y <= box.y + box.height


@given(drawings())
def test_labels_of_wires_lie_on_no_box_and_on_no_other_label(drawing):
    layout, wires = lay(drawing), drawing[3]
    labels = [
        Place(at.x - wire.label[0] / 2, at.y - wire.label[1] / 2, *wire.label)
        for wire, at in zip(wires, layout.labels, strict=True)
        if at is not None and wire.label is not None
    ]
    assert not any(overlap(label, box) for label in labels for box in layout.boxes)
    assert not any(overlap(a, b) for a, b in combinations(labels, 2))


@given(drawings())
def test_the_same_drawing_is_laid_out_the_same(drawing):
    assert lay(drawing) == lay(drawing)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=30))
def test_every_edge_between_two_things_leads_to_another_column_and_firm_ones_without_cycles_to_the_right(edges):
    found = ranks(10, edges)
    assert all(found[a] != found[b] for a, b, _ in edges if a != b)
    acyclic = [(a, b, True) for a, b, _ in edges if a < b]
    loose = [(a, b, False) for a, b, _ in edges if a > b]
    found = ranks(10, acyclic + loose)
    assert all(found[a] < found[b] for a, b, _ in acyclic)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 10), st.floats(0, 50)), min_size=1, max_size=20))
def test_spread_places_keep_their_order_and_distances(wanted):
    places = spread([w for w, _, _ in wanted], [m for _, m, _ in wanted], [d for _, _, d in wanted[1:]])
    assert all(b - a >= d - 1e-6 for (a, b), (_, _, d) in zip(pairwise(places), wanted[1:], strict=True))


def test_what_can_have_its_place_gets_it():
    assert spread([0.0, 30.0, 60.0], [1.0, 1.0, 1.0], [10.0, 10.0]) == [0.0, 30.0, 60.0]
