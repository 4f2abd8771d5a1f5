"""How a lineage is shown: pictures that stay small, trees that tell everything once, and nothing that a name could break."""

from __future__ import annotations

import pickle
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from typing import Any

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aiflow as af
from aiflow.graph.lineage import picture_of, tree_of
from aiflow.graph.topology import LineageGraph, lineage_graph

Version = af.ModelVersion | af.DatasetVersion | af.ArtifactVersion


def run(job: str, execution: str = "aaa", number: int = 1, status: str = "SUCCESS") -> af.JobExecution:
    return af.JobExecution(job, number, 1, af.JobStatus(status), execution_id=execution)


def graph_of(edges: list[tuple[Any, Any]], asked: Any, direction: str = "upstream") -> LineageGraph:
    nodes = {}
    for thing in (asked, *(end for edge in edges for end in edge)):
        is_job = isinstance(thing, af.JobExecution)
        nodes[thing] = {"kind": "job", "workflow": "life"} if is_job else {"kind": thing.kind}
    return lineage_graph(nodes.items(), [(a, b, {}) for a, b in edges], direction, [asked])


IRIS = af.DatasetVersion("iris", 3, rows=150)
WRITE = run("write", number=2, status="RUNNING")
KNN = af.ModelVersion("knn", 2, stage=af.Stage.DEPLOYED)
PAGE = af.ArtifactVersion("page", 1, type="html")
LIFE = [
    (IRIS, run("load")),
    (run("load"), run("fit")),
    (run("fit"), KNN),
    (KNN, WRITE),
    (run("fit"), WRITE),
    (WRITE, PAGE),
]


# --- the tree -----------------------------------------------------------------------------------------------------------


def test_a_tree_leads_from_what_was_asked_about_and_tells_what_stands_in_two_places_once() -> None:
    tree = str(graph_of(LIFE, PAGE))
    assert (
        tree
        == """\
artifact page:1  html
└─ write #2  life aaa  RUNNING
   ├─ model knn:2  deployed
   │  └─ fit  life aaa  SUCCESS
   │     └─ load  life aaa  SUCCESS
   │        └─ dataset iris:3  150 rows
   └─ fit  life aaa  SUCCESS  (see above)"""
    )


def test_a_tree_goes_the_way_that_was_asked_for() -> None:
    lines = str(graph_of(LIFE, IRIS, "downstream")).splitlines()
    assert lines[0] == "dataset iris:3  150 rows"
    assert lines[-1].endswith("write #2  life aaa  RUNNING  (see above)")


def test_many_leaves_of_one_job_are_one_line() -> None:
    users = [run("answer", f"e{n}") for n in range(50)]
    lines = str(graph_of([(KNN, user) for user in users], KNN, "downstream")).splitlines()
    assert lines == ["model knn:2  deployed", "└─ answer  life e0  SUCCESS  … and 49 more of it"]


def test_a_tree_of_thousands_is_cut_off_and_says_by_how_many() -> None:
    edges = [(KNN, run(f"a{n}")) for n in range(2000)]
    lines = list(tree_of(graph_of(edges, KNN, "downstream")))
    assert len(lines) == 401
    assert lines[-1] == "… and 1,601 more"


def test_a_very_deep_tree_is_cut_off_at_its_right() -> None:
    runs = [run("step", number=n) for n in range(1, 1000)]
    lines = list(tree_of(graph_of(list(pairwise(runs)), runs[-1])))
    assert lines[-1].strip() == "└─ …"
    assert max(map(len, lines)) < 300


def test_a_circle_is_no_trouble() -> None:
    stream = run("learn")
    graph = graph_of([(stream, run("fit")), (run("fit"), KNN), (KNN, stream)], KNN)
    assert str(graph).splitlines()[-1].strip() == "└─ model knn:2  deployed  (see above)"
    assert graph.to_svg().startswith("<svg")


# --- the picture --------------------------------------------------------------------------------------------------------


def test_a_picture_has_a_frame_for_each_execution_with_what_its_jobs_made() -> None:
    picture = picture_of(graph_of(LIFE, PAGE), 100, 100)
    assert [frame.label for frame in picture.frames] == ["life · aaa"]
    boxes = {box.text: (str(box.shape), box.frame, *box.notes) for box in picture.boxes}
    assert boxes == {
        "page:1": ("artifact", 0, "artifact", "html"),
        "iris:3": ("dataset", -1, "dataset", "150 rows"),
        "load": ("job", 0),
        "fit": ("job", 0),
        "knn:2": ("model", 0, "model", "deployed"),
        "write #2": ("job", 0),
    }
    assert picture.title == "upstream of page:1: 6 versions and jobs"


def test_what_one_job_hands_to_another_as_a_version_is_drawn_over_the_version_alone() -> None:
    picture = picture_of(graph_of(LIFE, PAGE), 100, 100)
    names = [box.text for box in picture.boxes]
    arrows = {(names[a], names[b]) for a, b, *_ in picture.arrows}
    assert ("fit", "write #2") not in arrows
    assert {("fit", "knn:2"), ("knn:2", "write #2"), ("load", "fit")} <= arrows


def many(count: int) -> LineageGraph:
    """A model that many executions of two jobs use, of which the second ones make versions."""
    edges = []
    for n in range(count):
        edges += [
            (KNN, run("a", f"e{n}")),
            (run("a", f"e{n}"), run("b", f"e{n}")),
            (run("b", f"e{n}"), af.ArtifactVersion("p", n)),
        ]
    return graph_of(edges, KNN, "downstream")


def test_what_is_alike_becomes_one_box_where_there_is_too_much() -> None:
    users = [run("answer", f"e{n}", status="FAILED" if n == 3 else "SUCCESS") for n in range(200)]
    picture = picture_of(graph_of([*LIFE, *((KNN, user) for user in users)], KNN, "downstream"), 100, 100)
    (answers,) = [box for box in picture.boxes if box.text == "answer"]
    assert (answers.count, answers.statuses) == (200, (("FAILED", 1), ("SUCCESS", 199)))
    assert [frame.label for frame in picture.frames] == ["life · aaa", "life"]
    assert len(picture.boxes) == 7


def test_executions_of_one_workflow_become_one_frame_where_there_is_still_too_much() -> None:
    picture = picture_of(many(200), 100, 100)
    assert [(box.text, box.count) for box in picture.boxes] == [("knn:2", 1), ("a", 200), ("b", 200), ("p", 200)]
    assert [frame.label for frame in picture.frames] == ["life"]
    assert len(picture.arrows) == 3


def test_what_is_left_out_is_noted() -> None:
    edges = [(KNN, run(f"a{n}")) for n in range(500)]
    picture = picture_of(graph_of(edges, KNN, "downstream"), 100, 50)
    assert len(picture.boxes) == 100
    assert picture.note == "401 of 501 versions and jobs and 49 of 99 arrows are not drawn"


def test_the_kinds_have_shapes_of_their_own_in_every_format() -> None:
    graph = graph_of(LIFE, PAGE)
    mermaid = graph.to_mermaid()
    assert '[("iris:3' in mermaid
    assert '[/"knn:2' in mermaid
    assert '>"page:1' in mermaid
    assert 'subgraph f0["life · aaa"]' in mermaid
    root = ElementTree.fromstring(graph.to_svg())
    paints = {element.get("class") for element in root.iter()}
    assert {"dataset", "model", "artifact", "SUCCESS", "RUNNING", "frame"} <= paints
    assert root.get("aria-label") == "upstream of page:1: 6 versions and jobs"


def test_a_notebook_gets_a_picture_and_a_terminal_a_tree() -> None:
    graph = graph_of(LIFE, PAGE)
    shown = graph._repr_mimebundle_()
    assert shown == {"text/html": graph.to_svg(), "image/svg+xml": graph.to_svg(), "text/plain": str(graph)}
    assert repr(graph) == "<upstream of page:1: 6 versions and jobs>"


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_name_breaks_a_picture_or_a_tree(name: str, job: str) -> None:
    graph = graph_of([(af.DatasetVersion(name, 1), run(job))], run(job))
    ElementTree.fromstring(graph.to_svg())
    assert graph.to_mermaid().startswith("flowchart LR\n")
    assert str(graph).count("\n") == 1
    assert len(str(graph).splitlines()) == 2


# --- the graph ----------------------------------------------------------------------------------------------------------


def test_it_is_a_networkx_graph_and_what_is_made_of_it_shows_itself_too() -> None:
    graph = graph_of(LIFE, PAGE)
    assert isinstance(graph, networkx.DiGraph)
    assert networkx.ancestors(graph, KNN) == {IRIS, run("load"), run("fit")}
    part = graph.subgraph([KNN, run("fit")])
    assert str(part) == "model knn:2  deployed\n└─ fit  life aaa  SUCCESS"
    assert graph.reverse().to_svg().startswith("<svg")
    assert str(LineageGraph()) == ""
    assert LineageGraph().to_svg().startswith("<svg")


def test_it_can_be_pickled() -> None:
    graph = graph_of(LIFE, PAGE)
    again = pickle.loads(pickle.dumps(graph))
    assert (type(again), list(again.edges), str(again)) == (LineageGraph, list(graph.edges), str(graph))


def test_a_module_without_such_a_name_says_so() -> None:
    import aiflow.graph.topology as topology

    with pytest.raises(AttributeError, match="no attribute 'Lineage'"):
        topology.Lineage  # noqa: B018
