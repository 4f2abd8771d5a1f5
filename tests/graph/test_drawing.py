"""Pictures of graphs: Mermaid, DOT and SVG."""

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aiflow as af
from aiflow.graph.building import Graph
from aiflow.graph.drawing import dot, mermaid, svg
from aiflow.graph.execution import JobStatus
from aiflow.graph.picture import clean, shorten

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "</text><script>alert(1)</script>",
    "]]><![CDATA[<x>",
    '" onload="alert(1)',
    "' onload='alert(1)",
    '"]; click n0 "javascript:alert(1)',
    "&lt;b&gt; &amp; #quot; #35;",
    "a]b[c)d(e}f{g|h\\",
    "x --> y\nz\t%% note",
    "`code` **bold** _it_ 1. list",
    "\x00\x08\x1b[31m\ufffe\ud800",
    "\u202egnp.exe",
    "日本語 😀 é",
    "a" * 500,
]


@af.job
def load():
    return [1, 2, 3]


@af.job
def train(rows, k=5):
    return rows


@af.job
def report(*results):
    return results


@af.workflow
def small():
    rows = load()
    fit = train(rows)
    told = report(fit).after(rows)
    fit.restart_on(told.failed).start_on(af.event("go"))


@af.workflow
def iris(rows):
    return train(train(rows))


def with_a_stream(graph: Graph) -> Graph:
    """Make the node `readings` one of a stream job, whether workflow bodies take generator functions or not."""
    graph.nodes["readings"].job.is_stream = True
    return graph


def one(name: str) -> Graph:
    """A graph of two nodes, one of them of this name."""

    @af.workflow
    def named():
        train.options(name=name)(load())

    return named.graph


def fan(width: int) -> Graph:
    @af.workflow
    def wide():
        rows = load()
        report(*[train(rows, k) for k in range(width)])

    return wide.graph


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def titles(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}title")]


def skeleton(picture: str) -> list[tuple[str, list[str]]]:
    """What elements with what attributes a picture has, whatever their values."""
    return [(element.tag, sorted(element.attrib)) for element in ElementTree.fromstring(picture).iter()]


# ------------------------------------------------------------------------------------------------ Mermaid


def test_mermaid_draws_data_solid_after_dashed_and_rules_dotted():
    @af.workflow
    def flow():
        rows = load()
        fit = train(rows)
        told = report(fit)
        told.after(rows)
        fit.restart_on(told.failed).start_on(af.event("go"))
        report().run_if(fit)

    assert mermaid(flow.graph) == (
        "flowchart LR\n"
        '    n0["load"]\n'
        '    n1["train"]\n'
        '    n2["report"]\n'
        '    n3["report_2"]\n'
        "    n4{{\"event('go')\"}}\n"
        "    n0 --> n1\n"
        '    n2 -.->|"restart on failed"| n1\n'
        "    n1 --> n2\n"
        "    n0 -.-> n2\n"
        '    n1 -->|"run if"| n3\n'
        '    n4 -.->|"start"| n1\n'
        "    linkStyle 3 stroke-dasharray:6 4\n"
        "    linkStyle 1,5 stroke-dasharray:2 3\n"
        "    classDef event fill:#f5f3ff,stroke:#a78bfa,color:#0f172a\n"
        "    class n4 event\n"
    )


def test_mermaid_puts_sub_workflows_into_subgraphs_and_tells_streams_and_maps_by_their_shapes():
    @af.workflow
    def flow():
        iris(load())
        load.options(name="readings")()
        train.map([1, 2])

    assert mermaid(with_a_stream(flow.graph), {"iris.train": "SUCCESS", "iris.train_2": "RUNNING"}) == (
        "flowchart LR\n"
        '    n0["load"]\n'
        '    n3(["readings"])\n'
        '    n4[["train"]]\n'
        '    subgraph f0["iris"]\n'
        '        n1["train<br/>success"]\n'
        '        n2["train_2<br/>running"]\n'
        "    end\n"
        "    n0 --> n1\n"
        "    n1 --> n2\n"
        "    classDef RUNNING fill:#eff6ff,stroke:#3b82f6,color:#0f172a\n"
        "    class n2 RUNNING\n"
        "    classDef SUCCESS fill:#f0fdf4,stroke:#22c55e,color:#0f172a\n"
        "    class n1 SUCCESS\n"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_mermaid_keeps_a_hostile_name_inside_its_quotes(name):
    lines = mermaid(one(name)).splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[1:2] + lines[3:] == ['    n0["load"]', "    n0 --> n1"]
    quoted = re.fullmatch(r'    n1\["([^"]*)"\]', lines[2])
    assert quoted is not None
    assert re.sub(r"#(\d+);", lambda code: chr(int(code[1])), quoted[1]) == shorten(clean(name), 60)
    assert not re.search(r"[<>`*\[\]{}|\\]", quoted[1])


# ------------------------------------------------------------------------------------------------ DOT


def test_dot_draws_the_same_graph():
    lines = [line.strip() for line in dot(small.graph, {"load": "FAILED"}).splitlines()]
    assert lines[0] == 'digraph "small" {'
    assert lines[-1] == "}"
    assert 'n0 [label="load\\nfailed", tooltip="load", fillcolor="#fef2f2", color="#ef4444"];' in lines
    assert lines[-6:-1] == [
        "n0 -> n1;",
        'n2 -> n1 [label="restart on failed", style=dotted, color="#8b5cf6", weight=0];',
        "n1 -> n2;",
        "n0 -> n2 [style=dashed];",
        'n3 -> n1 [label="start", style=dotted, color="#8b5cf6", weight=0];',
    ]


def test_dot_puts_sub_workflows_into_clusters():
    @af.workflow
    def flow():
        iris(load())

    lines = [line.strip() for line in dot(flow.graph).splitlines()]
    start = lines.index('subgraph cluster_0 { label="iris";')
    assert [line.split(" [")[0] for line in lines[start + 1 : start + 4]] == ["n1", "n2", "}"]


@pytest.mark.parametrize("name", HOSTILE)
def test_dot_keeps_a_hostile_name_inside_its_quotes(name):
    line = next(line for line in dot(one(name)).splitlines() if line.startswith("    n1 ["))
    quoted = re.fullmatch(r'    n1 \[label="((?:[^"\\]|\\.)*)", tooltip="((?:[^"\\]|\\.)*)"\];', line)
    assert quoted is not None
    plain = re.sub(r"\\(.)", r"\1", quoted[1]).replace("&amp;", "&")
    assert plain == shorten(clean(name), 60)


# ------------------------------------------------------------------------------------------------ SVG: safety


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_nothing_in_an_svg_but_texts(name):
    picture = svg(one(name), {name: "RUNNING"})
    assert skeleton(picture) == skeleton(svg(one("plain"), {"plain": "RUNNING"}))
    assert shorten(clean(name), 36) in texts(picture)
    picture.encode()


@given(st.text(min_size=1).filter(str.strip))
def test_any_name_gives_an_svg_that_can_be_parsed_and_shows_it(name):
    assert shorten(clean(name), 36) in texts(svg(one(name)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_events_workflows_and_statuses_change_nothing_but_texts(text):
    def flow(text: str) -> Graph:
        @af.workflow(name=text)
        def inner():
            load().start_on(af.event(text)).start_on(af.event("other", text))

        @af.workflow(name=text)
        def outer():
            inner()

        return outer.graph

    picture = svg(flow(text), {f"{text}.load": text, "<b>": "<b>"})
    assert skeleton(picture) == skeleton(svg(flow("plain")))


def test_an_svg_holds_no_scripts_links_or_references():
    picture = svg(small.graph, dict.fromkeys(["load", "train", "report"], "RUNNING"))
    root = ElementTree.fromstring(picture)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "style", "rect", "path", "text", "g", "title", "circle"}
    assert not any(key.startswith("on") or "href" in key for element in root.iter() for key in element.attrib)
    assert "url(" not in picture


def test_the_arguments_of_a_call_are_not_shown():
    @af.workflow
    def flow():
        train("my-password", k="other-password")

    for draw in (svg, dot, mermaid):
        assert "password" not in draw(flow.graph)


# ------------------------------------------------------------------------------------------------ SVG: content


def test_an_svg_names_jobs_labels_of_rules_and_events():
    assert texts(svg(small.graph)) == ["load", "train", "report", "event('go')", "restart on failed", "start"]


def test_hovering_over_a_node_tells_its_name_job_options_and_rules():
    @af.workflow
    def flow():
        train.options(name="big", retries=3, runner="process")(load()).start_on(af.event("go") & af.event("now"))

    assert titles(svg(flow.graph))[1] == (
        "big\njob: train\nrunner: process\nretries: 3\nSTART on all(event('go'), event('now'))"
    )


def test_one_event_that_feeds_many_jobs_is_drawn_once():
    @af.workflow
    def flow():
        for _ in range(4):
            load().start_on(af.event("go")).stop_on(af.event("halt"))

    found = texts(svg(flow.graph))
    assert (found.count("event('go')"), found.count("event('halt')")) == (1, 1)
    assert (found.count("start"), found.count("stop")) == (4, 4)


def test_kinds_of_edges_differ_in_their_dashes():
    paths = ElementTree.fromstring(svg(small.graph)).iter(f"{SVG}path")
    dashes = [path.get("stroke-dasharray") for path in paths if path.get("class") in ("wire", "rule")]
    assert dashes == [None, "0.1 4.5", None, "6 4", "0.1 4.5"]


def test_stream_and_mapped_jobs_have_shapes_of_their_own():
    @af.workflow
    def flow():
        load()
        load.options(name="readings")()
        train.map([1, 2])

    picture = svg(with_a_stream(flow.graph))
    groups = [g for g in ElementTree.fromstring(picture).iter(f"{SVG}g") if g.get("class") == "node"]
    corners = [[rect.get("rx") for rect in g.iter(f"{SVG}rect")] for g in groups]
    assert corners == [["8"], ["26"], ["8", "8", "8"]]
    assert [[text.text for text in g.iter(f"{SVG}text")] for g in groups] == [
        ["load"],
        ["readings", "stream"],
        ["train", "map"],
    ]


def test_a_job_that_restarts_itself_has_a_loop():
    @af.workflow
    def flow():
        node = load()
        node.restart_on(node.failed)

    assert texts(svg(flow.graph)) == ["load", "restart on failed"]


def test_nodes_of_a_sub_workflow_have_short_names_in_a_frame():
    @af.workflow
    def flow():
        iris(iris(load()))

    picture = svg(flow.graph)
    assert texts(picture) == ["iris", "iris_2", "load", "train", "train_2", "train", "train_2"]
    assert "iris_2.train_2\njob: train" in titles(picture)


def test_an_empty_workflow_says_so():
    @af.workflow
    def empty():
        pass

    assert texts(svg(empty.graph)) == ["no jobs"]
    assert mermaid(empty.graph) == "flowchart LR\n"
    assert dot(empty.graph).endswith("}\n")


def test_dark_pages_get_dark_colours_and_others_have_light_ones_as_attributes():
    picture = svg(small.graph)
    style = ElementTree.fromstring(picture).find(f"{SVG}style")
    assert style is not None
    assert style.text is not None
    assert style.text.startswith("@supports (color:light-dark(red,red)){")
    panel = ElementTree.fromstring(picture).find(f"{SVG}rect")
    assert panel is not None
    assert (panel.get("class"), panel.get("fill")) == ("panel", "#ffffff")
    assert ".panel{fill:light-dark(#ffffff,#0f172a)}" in style.text


@pytest.mark.parametrize(
    ("page", "scheme"),
    [
        ('[data-jp-theme-light="true"]', "light"), ('[data-jp-theme-light="false"]', "dark"), (".vscode-dark", "dark"),
        ('[data-theme="light"]', "light"), ("", "light dark"),
    ],
)  # fmt: skip
def test_a_picture_is_light_or_dark_as_its_page_says_and_else_as_the_system_says(page, scheme):
    picture = svg(small.graph)
    name = ElementTree.fromstring(picture).get("id")
    said = {
        scheme: selectors.split(",") for selectors, scheme in re.findall(r"([^{}]+)\{color-scheme:([a-z ]+)\}", picture)
    }
    assert f"{page} #{name}".strip() in said[scheme]


# ------------------------------------------------------------------------------------------------ determinism


@pytest.mark.parametrize("draw", [svg, dot, mermaid])
def test_the_same_graph_gives_the_same_text(draw):
    assert draw(small.build()) == draw(small.build())
    assert draw(fan(500)) == draw(fan(500))


def test_pictures_are_the_same_in_another_process():
    code = """
import aiflow as af
@af.job(limits={"gpu": 1}, tags=("a", "b"), on_failure=print, retry_on=(ValueError, OSError))
def work(*needs): pass
@af.workflow
def flow():
    nodes = [work() for _ in range(30)]
    for i in range(400):
        nodes.append(work(nodes[i], nodes[i // 2]).start_on(nodes[i // 3].failed).stop_on(af.event(f"e.{i % 7}")))
graph = flow.graph
print(graph.to_svg() + graph.to_dot() + graph.to_mermaid())
"""

    def printed(seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout

    first = printed("1")
    assert len(first) > 1000
    assert first == printed("2")


def test_styles_of_two_pictures_on_one_page_leave_each_other_alone():
    roots = [ElementTree.fromstring(svg(graph)) for graph in (small.graph, fan(3))]
    names = [root.get("id") for root in roots]
    assert names[0] != names[1]
    for root, name in zip(roots, names, strict=True):
        assert [element.get("id") for element in root.iter() if element.get("id")] == [name]
        style = root.findtext(f"{SVG}style") or ""
        rules = re.findall(r"([^{}]+)\{[^{}]*\}", style.removeprefix("@supports (color:light-dark(red,red)){"))
        assert len(rules) > 3
        assert all(f"#{name}" in selector.split() for rule in rules for selector in rule.split(","))


# ------------------------------------------------------------------------------------------------ statuses


@pytest.mark.parametrize("status", JobStatus)
def test_every_status_has_its_colour_and_its_word(status):
    picture = svg(one("job"), {"job": status})
    group = ElementTree.fromstring(picture).findall(f"{SVG}g")[1]
    outline = group.find(f"{SVG}rect")
    assert outline is not None
    assert outline.get("class") == status
    assert status.lower() in texts(picture)
    assert f"class n1 {status}" in mermaid(one("job"), {"job": status})


def test_a_status_that_is_none_and_a_job_that_is_not_there_are_passed_over():
    statuses = {"train": "<b>DANCING</b>", "nobody": "RUNNING"}
    for draw in (svg, dot, mermaid):
        assert draw(small.graph, statuses) == draw(small.graph)


def test_a_box_of_many_nodes_shows_the_most_urgent_status_and_how_many_have_which():
    graph = fan(1000)
    names = [node.name for node in graph.nodes][1:-1]
    statuses = dict.fromkeys(names, "SUCCESS") | dict.fromkeys(names[:3], "FAILED")
    picture = svg(graph, statuses)
    assert "3 failed · 997 success" in texts(picture)
    classes = [rect.get("class") for rect in ElementTree.fromstring(picture).iter(f"{SVG}rect")]
    assert classes.count("FAILED") == 3  # the box and what stands behind it
    assert (classes.count("SUCCESS-mark"), classes.count("FAILED-mark")) == (1, 1)  # the bar
    assert "success" in texts(svg(graph, dict.fromkeys(names, "SUCCESS")))


# ------------------------------------------------------------------------------------------------ large graphs


def test_a_graph_of_three_hundred_nodes_is_drawn_node_by_node():
    assert len(texts(svg(fan(298)))) == 300


def test_a_thousand_parallel_calls_of_one_job_are_one_box():
    assert texts(svg(fan(1000))) == ["load", "train ×1000", "report"]
    assert mermaid(fan(1000)) == (
        'flowchart LR\n    n0["load"]\n    n1["train ×1000"]\n    n2["report"]\n    n0 --> n1\n    n1 --> n2\n'
    )
    assert "1000 nodes: train, train_2, train_3, train_4, train_5, …" in titles(svg(fan(1000)))


def test_calls_of_one_job_with_names_of_their_own_are_one_box_too():
    @af.workflow
    def wide():
        rows = load()
        report(*[train.options(name=f"k={k}")(rows, k) for k in range(400)])

    assert texts(svg(wide.graph)) == ["load", "train ×400", "report"]


def test_many_calls_with_other_neighbours_stay_apart():
    @af.workflow
    def wide():
        a, b = load(), load()
        for rows in (a, b):
            report(*[train(rows, k) for k in range(200)])

    assert texts(svg(wide.graph)) == ["load", "load_2", "train ×200", "report", "train ×200", "report_2"]


def test_many_parallel_chains_are_one_chain():
    @af.workflow
    def wide():
        rows = load()
        report(*[train(train(rows)) for _ in range(300)])

    assert texts(svg(wide.graph)) == ["load", "train ×300", "train ×300", "report"]


def test_many_calls_of_one_sub_workflow_are_one_frame():
    @af.workflow
    def wide():
        rows = load()
        report(*[iris(rows) for _ in range(160)])

    assert texts(svg(wide.graph)) == ["iris ×160", "load", "train ×160", "train ×160", "report"]


def test_a_long_row_of_one_job_is_one_box_between_its_ends():
    @af.workflow
    def long():
        node = load()
        for _ in range(1000):
            node = train(node)

    found = texts(svg(long.graph))
    assert found == ["load", "train", "train_2", "train ×996", "in a row", "train_999", "train_1000"]


def test_what_is_still_too_much_is_left_out_and_counted():
    @af.workflow
    def motley():
        for number in range(1000):
            af.job(type(f"Job{number}", (), {"__call__": lambda self: None}))()

    graph = motley.graph
    assert texts(svg(graph))[-2:] == ["… 701 more nodes", "701 of 1000 nodes are not drawn"]
    assert mermaid(graph).endswith("    %% 701 of 1000 nodes are not drawn\n")
    assert 'label="701 of 1000 nodes are not drawn"' in dot(graph)


def test_mermaid_never_gets_more_arrows_than_it_draws():
    @af.workflow
    def dense():
        first = [load() for _ in range(30)]
        for _ in range(30):
            train(first)

    assert mermaid(dense.graph).count("-->") == 1
    assert len(texts(svg(dense.graph))) == 60


def test_a_hundred_thousand_nodes_are_drawn_as_a_few_boxes():
    assert texts(svg(fan(100_000))) == ["load", "train ×100000", "report"]


def test_a_program_without_css_takes_the_size_from_the_attributes():
    @af.workflow
    def small():
        af.command("true", name="one")

    root = ElementTree.fromstring(svg(small.graph))
    assert float(root.get("width")) > 0 < float(root.get("height"))
    assert root.get("style") is None
    _, style = root.findall(f"{SVG}style")
    assert style.text == f"@media all{{#{root.get('id')}{{max-width:100%;height:auto}}}}"
