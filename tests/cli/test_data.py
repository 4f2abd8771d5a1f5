"""What `list datasets` does not show."""

import json
from pathlib import Path

import pytest

import aiflow as af
from aiflow.cli import main


def test_passwords_and_secrets_of_datasets_are_not_listed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with af.Project("shop", home=tmp_path / "home") as project:
        catalog = {"connection": "hive://ada:canary@h/x", "table": "t"}
        said = {"catalog": catalog, "properties": {"token": "canary", "owner": "ada"}}
        project.datasets.register("iris", uri="jdbc://ada:canary@h/y", **said).log(hash="abc")
    for output in ("json", "yaml", "plain", "table"):
        assert main(["list", "datasets", "--home", str(tmp_path / "home"), "-o", output]) == 0
        out, _ = capfd.readouterr()
        assert "canary" not in out
        if output == "json":
            (iris,) = json.loads(out)
            assert iris["catalog"] == {"connection": "hive://ada:***@h/x", "table": "t"}
            assert iris["properties"] == {"token": "***", "owner": "ada"}
            assert iris["uri"] == iris["latest"]["uri"] == "jdbc://ada:***@h/y"
