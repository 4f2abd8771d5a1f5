"""Plots of metrics: which values make a line, what they go along, and how the lines are called."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import aiflow as af
from aiflow.testing import ManualClock


def lines(plot: object) -> dict[str, list[tuple[float, float]]]:
    """The points of each line by its label."""
    return {one.label: list(one.points) for one in plot.plot.series}  # type: ignore[attr-defined]


def test_each_job_has_a_line_along_steps_called_by_what_tells_it_from_the_others(project: af.Project) -> None:
    for rate in (1, 2):
        with project.track("fit", rate=rate, seed=3) as experiment:
            version = experiment.log_model([rate], "knn")
            experiment.log_metrics([("loss", rate * n, n) for n in range(3)], model=version)
            experiment.log_metrics([("val", rate * n, n) for n in range(3)])
    history = project.metrics.history("loss")
    assert (history.plot().plot.x, history.plot().plot.title) == ("step", "loss")
    assert lines(history.plot()) == {"knn:1": [(0, 0), (1, 1), (2, 2)], "knn:2": [(0, 0), (1, 2), (2, 4)]}
    assert list(lines(project.metrics.plot("val"))) == ["rate=1", "rate=2"]
    assert list(lines(project.metrics.plot("loss", "val", execution=experiment))) == ["loss", "val"]
    assert list(lines(project.metrics.history("loss", model="knn:2").plot())) == [""]
    both = project.metrics.plot("loss", "val")
    assert both.plot.title == "loss, val"
    assert list(lines(both)) == ["loss knn:1 rate=1", "loss knn:2 rate=2", "val rate=1", "val rate=2"]


def test_one_value_of_each_version_makes_one_line_along_the_time(
    aiflow_project: af.Project, aiflow_clock: ManualClock
) -> None:
    project, knn = aiflow_project, aiflow_project.models.register("knn")
    for n in range(3):
        project.metrics.log("auc", n, model=knn.log([n]))
        aiflow_clock.advance(60)
    plot = project.metrics.history("auc").plot()
    ((label, points),) = lines(plot).items()
    assert (label, plot.plot.x, [y for _, y in points]) == ("", "time", [0, 1, 2])
    assert points[1][0] - points[0][0] == 60
    project.metrics.log("auc", 7, model="knn:2")
    assert {label: len(points) for label, points in lines(project.metrics.plot("auc")).items()} == {
        "knn:1": 1, "knn:2": 2, "knn:3": 1,
    }  # fmt: skip


def test_values_of_one_moment_without_steps_go_along_their_order(project: af.Project) -> None:
    project.metrics.log_many([("x", n * n) for n in range(4)])
    plot = project.metrics.plot("x")
    assert (plot.plot.x, lines(plot)) == ("order", {"": [(0, 0), (1, 1), (2, 4), (3, 9)]})
    assert project.metrics.plot("x", x="time").plot.x == "time"
    with pytest.raises(af.ParameterError, match="a metric is plotted along one of step, time, order, not 'epoch'"):
        project.metrics.plot("x", x="epoch")
    with pytest.raises(af.ParameterError, match="plot takes the names of metrics"):
        project.metrics.plot()


def test_a_history_is_a_picture_in_notebooks_and_text_where_it_is_printed(project: af.Project) -> None:
    project.metrics.log_many([("<b>", n, n) for n in range(4)])
    history = project.metrics.history("<b>")
    shown = history._repr_mimebundle_()
    ElementTree.fromstring(shown["text/html"])
    assert shown["text/html"] == history._repr_html_() == history.plot().to_svg()
    assert "⠤" in shown["text/plain"]
    assert str(history).startswith("<b> ")
    assert len(history.plot().to_text(40, 9).splitlines()) == 9
    assert history.plot().to_text(encoding="ascii").isascii()
    assert repr(history.plot()) == "<plot of <b> over step: 1 line>"
    assert "no values" in str(project.metrics.history("nothing"))


def test_a_history_is_a_data_frame(project: af.Project) -> None:
    pytest.importorskip("pandas")
    project.metrics.log_many([("x", float("nan"), 1), ("x", 2, None)])
    frame = project.metrics.history("x").to_pandas()
    assert list(frame.columns)[:4] == ["value", "step", "name", "model"]
    assert str(list(frame["value"])) == "[nan, 2.0]"
    assert list(frame.index) == project.metrics.history("x").times
