"""What notebooks show: complete, readable, and safe whatever is in a name, a value or an error."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import aiflow as af
from aiflow.display import execution_text
from aiflow.graph.card import Card, Data, Listing, Note, Rows, Story
from aiflow.graph.html import card_html, duration
from aiflow.testing import run_until_idle

EVIL = "</td></style><script>alert('x')</script><img src=x onerror=\"y\">&lt;"
HTML_TAGS = {
    *("code", "details", "div", "p", "pre", "span", "strong", "style", "summary", "time"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
SVG_TAGS = {"circle", "g", "path", "rect", "svg", "text", "title"}
EMPTY_TAGS = {"circle", "path", "rect"}
ATTRIBUTES = {
    *("aria-label", "class", "cx", "cy", "d", "datetime", "fill", "font-family", "font-size", "font-weight", "height"),
    *("id", "open", "points", "r", "role", "rx", "scope", "stroke", "stroke-dasharray", "stroke-linecap"),
    *(
        "stroke-linejoin",
        "stroke-width",
        "style",
        "text-anchor",
        "title",
        "transform",
        "viewbox",
        "width",
        "x",
        "xmlns",
        "y",
    ),
}


class Page(HTMLParser):
    """What a browser would make of a text; a tag or an attribute that is not ours fails."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every tag that is opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in HTML_TAGS | SVG_TAGS, tag
        assert {name for name, _ in attrs} <= ATTRIBUTES, (tag, attrs)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert "<" not in data
            return
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1][-1] += data

    @property
    def text(self) -> str:
        return "".join(self.texts)


def fails() -> None:
    raise ValueError(EVIL)


def test_an_execution_shows_its_graph_jobs_times_and_errors(aiflow_project: af.Project) -> None:
    @af.job(retries=1, retry_delay=0)
    def train(k: int) -> int:
        af.current().set_label("halfway")
        if af.current().attempt == 1:
            raise OSError("the first time")
        return k

    @af.job
    def check(k: int) -> None:
        raise ValueError(f"{k} neighbors are too many")

    @af.workflow
    def iris(k: int = 5) -> None:
        check(train(k)).start_on(af.event("go"))
        check.options(name="last")(1).after(check.options(name="middle")(1))

    execution = aiflow_project.start(iris)
    run_until_idle(aiflow_project)
    page = Page(execution._repr_html_())
    rows = {row[0]: row[1:] for row in page.cells}
    assert rows["job"] == ["status", "time", "attempt", "result", "label or reason"]
    assert rows["middle"][0] == "FAILED"
    assert "1 neighbors are too many" in page.text
    assert rows["last"] == ["SKIPPED", "", "1", "", "middle failed"]
    assert "k = 5" in page.text
    assert rows["check"] == ["INIT", "", "", "", "waits for event('go')"]
    assert "<svg" in execution._repr_html_()
    execution.stop()


def test_an_execution_shows_what_its_jobs_gave_without_running_code_of_theirs_and_without_secrets(
    aiflow_project: af.Project,
) -> None:
    @af.job
    def told(api_token: str) -> dict[str, Any]:
        return {"said": f"it is {api_token}", "n": 5}

    @af.job
    def given() -> Any:
        return Loud()

    @af.job
    def nothing() -> None: ...

    @af.workflow
    def giving(api_token: str) -> None:
        told(api_token)
        given()
        nothing()

    execution = aiflow_project.run(giving, api_token="tulips")
    rows = {row[0]: row[4] for row in Page(execution._repr_html_()).cells}
    assert rows == {"job": "result", "told": "{'n': 5, 'said': 'it is ***'}", "given": "<Loud>", "nothing": ""}
    assert "→ {'n': 5, 'said': 'it is ***'}" in execution_text(execution)
    assert "tulips" not in execution_text(execution)


class Loud:
    """Is not to be loaded, nor to show itself, only because somebody looks at an execution."""

    def __repr__(self) -> str:
        raise AssertionError

    def __setstate__(self, state: Any) -> None:
        raise AssertionError


def test_jobs_of_the_same_moment_stand_in_the_order_of_the_body(aiflow_project: af.Project) -> None:
    def fail() -> None:
        raise ValueError("no")

    def take(*_: None) -> None: ...

    names = ["load", "zeta", "beta", "mid", "alpha"]

    @af.workflow
    def chain() -> None:
        load = af.job(fail, name="load")()
        zeta = af.job(take, name="zeta")(load)
        af.job(take, name="beta")(load)
        af.job(take, name="alpha")(af.job(take, name="mid")(zeta))

    execution = aiflow_project.start(chain)
    run_until_idle(aiflow_project)
    assert [one.job for one in execution.jobs] == names
    assert [row[0] for row in Page(execution._repr_html_()).cells[1:]] == names


def test_hostile_names_values_labels_and_errors_stay_text(aiflow_project: af.Project) -> None:
    @af.job
    def label() -> None:
        af.current().set_label(EVIL)
        af.current().publish(EVIL, {EVIL: [EVIL]}, type=EVIL, sender=EVIL, context=EVIL)

    @af.job
    def skip() -> None:
        raise af.Skip(EVIL)

    @af.workflow(name=EVIL)
    def hostile(text: str = EVIL) -> None:
        for job in (af.job(fails), label, skip):
            job.options(name=f"{job.name}{EVIL}")().start_on(af.event("go") & af.event(EVIL))

    execution = aiflow_project.start(hostile, context=EVIL)
    aiflow_project.publish_many([("go", None), (EVIL, EVIL)])
    execution.stop(EVIL)
    page = Page(execution._repr_html_())
    assert {f"fails{EVIL}", f"label{EVIL}", f"skip{EVIL}"} <= {row[0] for row in page.cells}
    assert f"ValueError: {EVIL}" in page.text
    events = Page(execution.events()._repr_html_())
    assert EVIL in {row[2] for row in events.cells}
    for more in (execution.jobs, *execution.jobs, aiflow_project.executions, aiflow_project.events.latest(EVIL)):
        assert EVIL in Page(more._repr_html_()).text
    assert EVIL in Page(aiflow_project._repr_html_()).text


texts = st.text(max_size=20) | st.sampled_from([EVIL, "\0", "\ud800", "]]>", "</style>", "&amp;", "--><!--"])


@given(
    names=st.tuples(texts, texts, texts),
    facts=st.dictionaries(texts, texts | st.none() | st.lists(texts, max_size=2), max_size=2),
    table=st.lists(st.tuples(texts, texts), min_size=1, max_size=2),
    data=texts | st.dictionaries(texts, texts, max_size=2),
)
def test_whatever_is_in_a_card_is_text_and_no_markup(
    names: tuple[str, str, str], facts: dict[str, Any], table: list[tuple[str, str]], data: object
) -> None:
    kind, name, status = names
    parts = (Rows(names[:2], table, kind), Note(name), Story(name, status, kind, True), Rows(["data"], [[Data(data)]]))
    page = Page(card_html(Card(kind=kind, name=name, status=status, facts=facts, parts=parts)))
    heads, *rows = page.cells
    assert [flat(head) for head in heads] == [flat(shown(text)) for text in names[:2]]
    assert [[flat(cell) for cell in row] for row in rows[: len(table)]] == [
        [flat(shown(c)) for c in row] for row in table
    ]
    assert flat(shown(name)) in flat(page.text)


@given(key=st.text(min_size=1), value=st.recursive(st.text(), st.lists), sender=st.none() | st.text())
def test_an_event_reads_in_the_table_as_it_was_published(key: str, value: object, sender: str | None) -> None:
    event = af.Event(7, key, value, sender=sender)
    heads, row = Page(Listing([event], "event")._repr_html_()).cells
    told = dict(zip(heads, row, strict=True))
    assert told["offset"] == "7"
    assert told["key"] == flat(shown(key))
    assert told.get("sender", "") == flat(shown(sender or ""))
    assert flat(shown(key)) in flat(Page(event._repr_html_()).text)


def shown(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\r", "\n")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_parameters_that_look_like_secrets_are_hidden(aiflow_project: af.Project) -> None:
    @af.job
    def use(text: str) -> int:
        return len(text)

    @af.workflow
    def secretive(api_key: str = "hunter2", max_tokens: int = 12) -> None:
        use(api_key)

    execution = aiflow_project.run(secretive)
    for text in (execution._repr_html_(), execution_text(execution)):
        assert "hunter2" not in text
        assert "max_tokens = 12" in text


def test_an_execution_whose_workflow_is_not_defined_here_is_shown_without_its_picture(
    aiflow_project: af.Project, tmp_path: Path
) -> None:
    from aiflow.graph.workflow import defined

    @af.job
    def load() -> int:
        return 1

    @af.workflow
    def gone() -> None:
        load()

    execution_id = aiflow_project.run(gone).id
    del defined["gone"]
    aiflow_project._shared.engine.recent.clear()
    page = Page(aiflow_project.executions.get(execution_id)._repr_html_())
    assert "no picture: no workflow 'gone" in page.text
    assert ["load", "SUCCESS", "0 ms", "1", "1", ""] in page.cells


def test_a_body_that_raises_when_it_is_built_again_does_not_spoil_the_display(aiflow_project: af.Project) -> None:
    healthy = [True]

    @af.job
    def load() -> int:
        return 1

    @af.workflow
    def moody() -> None:
        if not healthy:
            raise RuntimeError("not today")
        load()

    execution_id = aiflow_project.run(moody).id
    healthy.clear()
    aiflow_project._shared.engine.recent.clear()
    page = Page(aiflow_project.executions.get(execution_id)._repr_html_())
    assert "the body of the workflow raised RuntimeError: not today" in page.text


def test_an_interrupted_execution_says_how_to_go_on(tmp_path: Path) -> None:
    @af.job
    def wait() -> None:
        af.current().wait_stop(30)

    @af.workflow
    def waits() -> None:
        wait()

    project = af.Project("test", home=tmp_path / "home")
    execution_id = project.start(waits).id
    project.close(detach=True)
    with af.Project("test", home=tmp_path / "home") as project:
        page = Page(project.executions.get(execution_id)._repr_html_())
    assert f"aiflow execution resume {execution_id}" in page.text


def test_thousands_of_jobs_give_a_short_page(aiflow_project: af.Project) -> None:
    @af.job
    def one(i: int) -> int:
        return i

    @af.workflow
    def wide() -> None:
        for i in range(1000):
            one(i)

    html = aiflow_project.run(wide)._repr_html_()
    page = Page(html)
    assert len(page.cells) == 201
    assert "… and 800 more job executions" in page.text
    assert len(html) < 100_000


def test_durations_read_as_people_say_them() -> None:
    said = {None: "", 0.0: "0 ms", 0.9996: "1.0 s", 59.96: "1 min 0 s", 3599.6: "1 h 0 min", 90061.0: "25 h 1 min"}
    assert {seconds: duration(seconds) for seconds in said} == said


def test_a_dataset_an_artifact_and_a_model_show_what_was_said_and_their_versions(
    aiflow_project: af.Project, tmp_path: Path
) -> None:
    path = tmp_path / "iris.csv"
    path.write_text("width\n1.5\n")
    iris = aiflow_project.datasets.register("iris", uri=path, format="csv", description="flowers")
    assert "no versions" in Page(iris._repr_html_()).text
    first = iris.log()
    path.write_text("width\n1.5\n2.5\n")
    iris.log()
    page = Page(iris._repr_html_())
    heads, newest, oldest = page.cells
    assert heads == ["version", "recorded", "rows", "bytes", "hash"]
    assert (newest[0], newest[2], oldest[0], oldest[4]) == ("iris:2", "2", "iris:1", str(first.hash)[:12])
    assert f"at {path} format csv description flowers" in page.text

    report = aiflow_project.artifacts.register("report", uri=path, type="text")
    report.log()
    assert [row[0] for row in Page(report._repr_html_()).cells] == ["version", "report:1"]

    knn = aiflow_project.models.register("knn", description="tells flowers")
    knn.log([1], stage="DEPLOYED")
    aiflow_project.metrics.log("auc", 0.9, model="knn:1")
    for one in (knn, knn.versions(), knn.latest(), aiflow_project.models):
        page = Page(one._repr_html_()).text
        assert "knn:1" in page
    assert Page(knn._repr_html_()).cells[1][:2] == ["knn:1", "DEPLOYED"]
    assert "auc = 0.9" in Page(knn.versions()._repr_html_()).cells[1]


def test_hostile_names_and_descriptions_of_what_is_registered_stay_text(aiflow_project: af.Project) -> None:
    evil = {"description": EVIL, "properties": {EVIL: EVIL}}
    for registry in (aiflow_project.datasets, aiflow_project.artifacts, aiflow_project.models):
        shown = registry.register(EVIL, **evil)._repr_html_()
        assert EVIL in Page(shown).text


def test_passwords_of_a_catalog_and_in_properties_are_hidden(aiflow_project: af.Project) -> None:
    catalog = {"connection": "postgres://ada:canary1@db/x", "table": "iris"}
    found = aiflow_project.datasets.register(
        "iris", uri="jdbc://ada:canary2@db/x", catalog=catalog, properties={"api_token": "canary3", "owner": "ada"}
    )
    page = Page(found._repr_html_()).text
    assert "canary" not in page
    assert "postgres://ada:***@db/x" in page
    assert 'owner = "ada"' in page
