"""What a condition on files is: which paths and which events fit it, and what it does to an execution."""

from pathlib import Path

import pytest
from tests.graph.sim import Sim, every_log_replays  # noqa: F401

from aiflow.errors import ParameterError
from aiflow.graph.event import Event
from aiflow.graph.file import FileCondition, file, file_key, folders_of, taken_apart
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


def told(path, change="created", **fields):
    value = {"path": path, "size": 1, "mtime": 1.0, "change": change}
    return Event(1, file_key(path), value, **({"type": "FILE_CHANGED"} | fields))


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (file("inbox/*.csv"), "file('inbox/*.csv')"),
        (file(Path("inbox") / "*.csv"), "file('inbox/*.csv')"),
        (file("*", on="created"), "file('*', on='created')"),
        (file("*", on=["modified"], settle=0.5), "file('*', on='modified', settle=0.5)"),
        (file("*", on=("modified", "created")), "file('*')"),
        (file("*").now() & file("a"), "all(file('*').now(), file('a'))"),
        (file("*").own(), "file('*')"),
    ],
)
def test_conditions_on_files_print_readably(condition, text):
    assert str(condition) == text


@pytest.mark.parametrize("pattern", ["", "inbox/", None, 3, b"a.csv", "a\0b"])
def test_a_pattern_is_the_path_of_a_file(pattern):
    with pytest.raises(ParameterError, match="path of a file"):
        file(pattern)


def test_a_home_folder_is_not_guessed():
    with pytest.raises(ParameterError, match=r"write Path.home\(\) / 'inbox/\*.csv'"):
        file("~/inbox/*.csv")


@pytest.mark.parametrize("on", ["deleted", (), ("created", "x"), 3, None])
def test_on_is_created_or_modified_or_both(on):
    with pytest.raises(ParameterError, match="'created', 'modified' or both"):
        file("a", on=on)


@pytest.mark.parametrize("settle", [-1, "1", float("nan"), True])
def test_settle_is_a_number_of_seconds(settle):
    with pytest.raises(ParameterError, match="settle"):
        file("a", settle=settle)


@pytest.mark.parametrize(
    ("pattern", "root", "parts"),
    [
        ("/in/*.csv", "/in", ("*.csv",)),
        ("/in/a.csv", "/in", ("a.csv",)),
        ("/in/*/x/[ab]", "/in", ("*", "x", "[ab]")),
        ("/*", "/", ("*",)),
        ("/in/**", "/in", ("**", "*")),
        ("/in/./x/**/a", "/in/x", ("**", "a")),
    ],
)
def test_the_root_is_what_comes_before_the_first_glob(pattern, root, parts):
    assert taken_apart(pattern) == (root, parts)


@pytest.mark.parametrize(
    ("pattern", "absolute"),
    [
        ("in/*.csv", "/base/in/*.csv"),
        ("../in/*.csv", "/in/*.csv"),
        ("../../../*.csv", "/*.csv"),
        ("./a", "/base/a"),
        ("/x/a", "/x/a"),
    ],
)
def test_26_a_relative_pattern_is_seen_from_a_folder(pattern, absolute):
    assert FileCondition(pattern).inside("/base").pattern == absolute


@pytest.mark.parametrize(
    ("event", "fits"),
    [
        (told("/in/a.csv"), True),
        (told("/in/a.csv", "modified"), False),
        (told("/in/a.txt"), False),
        (told("/in/.a.csv"), False),
        (told("/in/deep/a.csv"), False),
        (told("/into/a.csv"), False),
        (told("/a.csv"), False),
        (told("/in/a.csv", namespace="another"), False),
        (told("/in/a.csv", type="UNDEFINED"), False),
        (told("/in/a.csv", context="me"), False),
        (Event(1, "file:/in/a.csv", "no such value", "FILE_CHANGED"), False),
        (Event(1, "/in/a.csv", {"change": "created"}, "FILE_CHANGED"), False),
    ],
)
def test_which_events_fit(event, fits):
    assert FileCondition("/in/*.csv", on=("created",)).fits(event, "default", "me") is fits


def test_what_is_for_one_execution_is_for_its_now_alone():
    now = FileCondition("/in/*.csv", on=("modified",), from_now=True)
    assert now.fits(told("/in/a.csv", context="me"), "default", "me")
    assert not now.fits(told("/in/a.csv", context="me"), "default", "you")
    assert not now.fits(told("/in/a.csv"), "default", "me")


def test_each_settle_has_events_of_its_own():
    event = told("/in/a.csv")
    settled = Event(1, event.key, event.value | {"settle": 2.0}, "FILE_CHANGED")
    assert [FileCondition("/in/*", settle=s).fits(settled, "default", "me") for s in (0.0, 2.0, 3.0)] == [
        False,
        True,
        False,
    ]


def test_the_folders_of_an_event_are_all_that_its_file_lies_in():
    assert list(folders_of(told("/in/deep/a.csv"))) == ["/in/deep", "/in", "/"]
    assert list(folders_of(told("/in/a.csv", type="UNDEFINED"))) == []


def files(condition, **options):
    def body():
        a().start_on(condition)

    return workflow(body, **options)


def test_14_each_file_is_a_run_and_the_next_waits():
    sim = Sim(files(file("in/*.csv")))
    for name in "xyz":
        sim.arrive(f"/folder/in/{name}.csv")
    for _ in range(3):
        sim.end("a")
    assert [sim.causes("a", n) for n in (1, 2, 3)] == [[f"file:/folder/in/{name}.csv"] for name in "xyz"]


def test_20_a_rule_on_files_keeps_the_execution_open_as_long_as_it_can_be_met():
    def body():
        first = b()
        a().start_on(file("in/*.csv") & first.succeeded)

    sim = Sim(workflow(body))
    sim.end("b")
    assert sim.status == "RUNNING"
    sim.arrive("/folder/in/x.csv")
    sim.end("a")
    assert sim.status == "SUCCESS", "b will not succeed again"
    lost = Sim(workflow(body))
    lost.end("b", "FAILED")
    assert lost.status == "FAILED"
    assert lost.statuses()["a"] == "SKIPPED"


@pytest.mark.parametrize(("ends", "status"), [(None, "RUNNING"), ("quiet", "SUCCESS"), ("never", "RUNNING")])
def test_20_an_execution_that_waits_for_files_ends_only_if_that_is_said(ends, status):
    def body():
        a().start_on(file("in/*.csv"))
        b()

    sim = Sim(workflow(body, ends=ends))
    sim.arrive("/folder/in/x.csv")
    sim.end("b")
    assert sim.status == "RUNNING"
    sim.end("a")
    assert sim.status == status


def test_20_a_file_that_only_stops_a_job_keeps_nothing_open():
    def body():
        a().stop_on(file("STOP"))

    sim = Sim(workflow(body))
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_leaves_are_found_by_the_roots_of_their_patterns():
    def body():
        a().start_on(file("in/*.csv") & file("/other/**/x")).stop_on(file("in/STOP").now())

    plan = Sim(workflow(body, stop_on=file("/folder/in/*"))).plan
    assert {root: [spot for _, spot in leaves] for root, leaves in plan.by_folder.items()} == {
        "/folder/in": [(0, 0, 0), (0, 1, 0), (-1, 0, 0)],
        "/other": [(0, 0, 1)],
    }
    assert [c.pattern for c in plan.files] == ["/folder/in/*.csv", "/folder/in/STOP", "/folder/in/*", "/other/**/x"]
    assert plan.keys_heard is None
