"""Settings: the file, the environment, arguments, each stronger than the one before, and where each was said."""

from pathlib import Path

import pytest

import aiflow as af
from aiflow.settings import ARGUMENT, load_settings

FILE = """
[project]
name = "not this one"

[tool.aiflow]
name = "fraud"
"workers" = 3
keep = { days = 30, executions = 9 }
plugins = [
    "mine",
]

[tool.aiflow.limits]
gpu = 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AIFLOW_HOME")
    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/er")
    return tmp_path


def test_each_setting_tells_the_line_or_the_variable_or_the_argument_that_said_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := folder / "pyproject.toml").write_text(FILE)
    monkeypatch.setenv("AIFLOW_WORKERS", "4")
    monkeypatch.setenv("AIFLOW_LIMITS", "disk=5")
    monkeypatch.setenv("AIFLOW_KEEP", "executions=8")
    found = load_settings(durability="full")
    assert (found.name, found.workers, found.durability, found.plugins) == ("fraud", 4, "full", ("mine",))
    assert (found.limits, found.keep.days, found.keep.executions) == ({"gpu": 2, "disk": 5}, 30.0, 8)
    assert (found.home, found.folder) == (folder / ".aiflow", folder)
    said = {name: where.replace(str(file), "line") for name, where in found.said.items()}
    assert said == {
        "home": "line:5", "name": "line:6", "workers": "AIFLOW_WORKERS", "durability": ARGUMENT, "keep": "AIFLOW_KEEP",
        "keep.days": "line:8", "keep.executions": "AIFLOW_KEEP", "plugins": "line:9", "limits": "AIFLOW_LIMITS",
        "limits.gpu": "line:14", "limits.disk": "AIFLOW_LIMITS",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("workers = 0", {}, "workers must be a whole number ≥ 1, not 0 (FILE:2)"),
        ("workers = true", {}, "workers must be a whole number ≥ 1, not True (FILE:2)"),
        ("", {"AIFLOW_WORKERS": "many"}, "workers must be a whole number ≥ 1, not 'many' (AIFLOW_WORKERS)"),
        ("durability = 'some'", {}, "durability must be 'normal' or 'full', not 'some' (FILE:2)"),
        ("name = ' '", {}, "name must be a text that is not empty, not ' ' (FILE:2)"),
        ("home = 3", {}, "home must be a folder's name, not 3 (FILE:2)"),
        ("keep = {days = -1}", {}, "keep.days in FILE:2 must be a number of days ≥ 0, not -1"),
        ("limits = {gpu = 'x'}", {}, "limits.gpu must be a whole number ≥ 1, not 'x' (FILE:2)"),
        ("limits = 3", {}, "limits must be a table such as {gpu = 2}, not 3 (FILE:2)"),
        ("", {"AIFLOW_LIMITS": "gpu"}, "limits must be written as gpu=2, disk=4, not 'gpu' (AIFLOW_LIMITS)"),
        ("flink = {slots = 0}", {}, "slots in FILE:2 must be a whole number ≥ 1, not 0"),
        ("flink = {memory = 'much'}", {}, "memory in FILE:2 must be a number of bytes, or a text such as '2 GB'"),
        ("flink = {config = {a = [1]}}", {}, "a of config in FILE:2 must be a text or a number, not [1]"),
        ("flink = {slot = 1}", {}, "unknown setting 'slot' in FILE:2; did you mean 'slots'?"),
        ("", {"AIFLOW_FLINK_LINGER": "-1"}, "AIFLOW_FLINK_LINGER must be a number of seconds ≥ 0, not '-1'"),
        ("", {"AIFLOW_FLINK_CONFIG": "a"}, "AIFLOW_FLINK_CONFIG must be JSON such as"),
        ("plugins = [1]", {}, "plugins must be a list of modules, or of MODULE:NAME, not [1] (FILE:2)"),
        ("plugins = ['os:nothing']", {}, "the plugin os:nothing cannot be imported: AttributeError"),
        ("worker = 1", {}, "unknown setting 'worker' in [tool.aiflow] (FILE:2); did you mean 'workers'?"),
        ("]", {}, "FILE is not valid TOML"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place_that_says_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, variables: dict[str, str], message: str
) -> None:
    (file := folder / "pyproject.toml").write_text(f"[tool.aiflow]\n{text}\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(af.ParameterError) as refused:
        af.Project()
    assert str(refused.value).startswith(message.replace("FILE", str(file)))
    assert not (folder / ".aiflow").exists()


def test_a_name_that_somebody_insists_on_beats_the_one_that_the_home_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text("[tool.aiflow]\nname = 'first'\n")
    assert af.Project().name == "first"
    (folder / "pyproject.toml").write_text("[tool.aiflow]\nname = 'second'\n")
    assert af.Project().name == "first"
    monkeypatch.setenv("AIFLOW_NAME", "third")
    assert af.Project().name == "third"
    assert af.Project("fourth").name == "fourth"
    with af.Project(home=folder / ".aiflow") as project:
        project.close()


def test_a_plugin_that_the_file_names_is_imported_from_beside_it(folder: Path) -> None:
    name = "plugin_" + folder.name.replace("-", "_")
    (folder / f"{name}.py").write_text(
        "from aiflow.hooks import hookimpl\ntold = []\n\nclass Witness:\n    @hookimpl\n"
        "    def aiflow_event_recorded(self, event):\n        told.append(event.key)\n"
    )
    (folder / "pyproject.toml").write_text(f"[tool.aiflow]\nplugins = ['{name}:Witness']\n")

    @af.workflow
    def nothing() -> None: ...

    from aiflow import hooks

    for _ in range(2):  # a second opening makes no second plugin of it
        with af.Project() as project:
            project.run(nothing)
    witness = hooks.named(f"{name}:Witness", folder)
    hooks.unregister(witness)
    assert len(__import__(name).told) == 2 * len(["RUNNING", "SUCCESS"])


def test_the_flink_cluster_is_sized_in_the_file_and_stronger_in_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.aiflow.flink]\nslots = 2\nmemory = "2 GiB"\njava = "/java"\n[tool.aiflow.flink.config]\n'
        '"rest.port" = 8081\nstate.backend.incremental = true\n'
    )
    monkeypatch.setenv("AIFLOW_FLINK_SLOTS", "3")
    found = load_settings().flink
    assert (found.slots, found.memory, found.java, found.linger) == (3, 2 << 30, "/java", 60.0)
    assert found.config == {"rest.port": 8081, "state.backend.incremental": "true"}
    monkeypatch.setenv("AIFLOW_FLINK_CONFIG", '{"rest": {"port": 8082}}')
    assert load_settings().flink.config == {"rest.port": 8082}
