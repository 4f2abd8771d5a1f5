"""Rows that do not fit together are found by `aiflow db check`, each kind by itself."""

from pathlib import Path

import pytest

import aiflow as af
from aiflow.store.checking import dangling
from aiflow.testing import project_for_tests

RUN = "INSERT INTO job_executions (execution_id, job, number, attempt, status) VALUES ('gone', 'j', 1, 1, 'SUCCESS')"
DAMAGE = {
    "metrics: that of loss was logged at offset 99999": "INSERT INTO metrics (id, name, namespace, value, time) VALUES (99999, 'loss', 'n', 1, 0)",
    "job_executions: j number 1 belongs to execution gone, which is not there": RUN,
    "items: those of j belong to execution gone": "INSERT INTO items VALUES ('gone', 'j', 1, 'json', '1', NULL, 1)",
    "job_states: that of j belongs to execution gone": "INSERT INTO job_states VALUES ('gone', 'j', '{}')",
    "is the value of j number 1 of execution gone": "INSERT INTO cached_results VALUES ('key', 'gone', 'j', 1, 0)",
    "executions: the definition of": "DELETE FROM documents WHERE hash IN (SELECT definition FROM executions)",
    "executions: the provenance of": "DELETE FROM documents WHERE hash IN (SELECT provenance FROM executions)",
    "stands at offset 99, and the log ends at": "UPDATE executions SET snapshot_offset = 99",
    "has not ended and needs the log from offset": "INSERT INTO meta VALUES ('pruned_until', '1000')",
    "triggers: listens stands at offset 99": "UPDATE triggers SET first_offset = 99",
    "subscriptions: reader stands at offset 99": "INSERT INTO subscriptions VALUES ('n', 'reader', 99, 0)",
    "files: /x was told at offset 99": "INSERT INTO files VALUES ('n', 0, '/x', 1, 1, 1, 99)",
    "failed_events: me failed at offset 99": "INSERT INTO failed_events VALUES (1, 99, 'me', 'x', 0)",
    "by their offsets there should be": "DELETE FROM events WHERE offset = 3",
    "lineage: 8 came from 7, and one of these is not there": "INSERT INTO lineage VALUES (7, 8, 0)",
    "lineage_nodes: the version knn:9 of a model is not there": "INSERT INTO lineage_nodes (kind, name, number, execution_id) VALUES ('model', 'knn', 9, '')",
    "model_versions: knn:1 is DEPLOYED, and its last change of stage says VALIDATED": "UPDATE model_versions SET stage = 'DEPLOYED'",
    "executions: the state of": "UPDATE executions SET snapshot = '{', snapshot_offset = 1",
}


@pytest.mark.parametrize(("told", "damage"), DAMAGE.items(), ids=str)
def test_a_row_that_names_what_is_not_there_is_told(tmp_path: Path, told: str, damage: str) -> None:
    @af.job
    def nothing() -> None: ...

    @af.workflow(ends="never", name="checked")
    def service() -> None:
        nothing()

    @af.workflow(start_on=af.event("go"), name="listens")
    def listens() -> None:
        nothing()

    with project_for_tests(tmp_path) as project:
        project.start(service).stop().wait()
        project.triggers.register(listens)
        project.models.register("knn").log([1], stage="VALIDATED")
        execution = project.start(service)
        project._shared.await_records()
        assert dangling(project._store) == []
        project._store.write([(damage, ())])
        assert any(told in line for line in dangling(project._store)), dangling(project._store)
        execution.stop()


def test_what_pruning_has_noted_and_not_deleted_yet_is_no_damage(tmp_path: Path) -> None:
    with project_for_tests(tmp_path) as project:
        project._store.write([(RUN, ()), ("""INSERT INTO meta VALUES ('pruning', '["gone"]')""", ())])
        assert dangling(project._store) == []
        assert project.prune().went == {"runs": 1}
        assert project.jobs.list() == []
