"""Any number of processes may use one home at once, come and go, fork and die."""

import threading
from pathlib import Path

import pytest
from tests import invariants
from tests.children import alone
from tests.store import deeds

import aiflow as af
from aiflow.store.store import Store


def test_eight_processes_that_write_at_once_meet_no_lock_and_lose_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    errors = alone(deeds.write_at_once, str(home), 8, 60)
    assert errors == [[]] * 8
    with af.Project(home=home) as project:
        for number in range(8):
            assert [e.value for e in project.events.list(keys=f"w{number}")] == list(range(60))
    invariants.check(home)


@pytest.mark.parametrize("standard_library", [False, True])
def test_what_a_process_writes_is_not_lost_when_another_one_closes_the_home(
    tmp_path: Path, standard_library: bool
) -> None:
    home = str(tmp_path / "home")
    seen = alone(deeds.keep_writing_beside_one_who_closes, home, standard_library, is_fresh=standard_library)
    assert seen == [2, 4, 6, 8]  # opening the database file beside SQLite would drop its locks, and the log with them


def test_a_forked_child_can_use_the_project_of_its_parent(tmp_path: Path) -> None:
    found = alone(deeds.use_after_a_fork, str(tmp_path / "home"))
    assert found["keys"] == ["before", "inside", "inside", "inside", "inside", "another", "after"]
    assert found["child"]["count"] == 5
    assert found["child"]["status"] == "RUNNING", "the child sees that its parent lives"
    assert found["status"] == "SUCCESS"
    invariants.check(tmp_path / "home")


def test_an_execution_is_interrupted_when_its_process_is_dead_even_if_a_forked_child_lives(tmp_path: Path) -> None:
    assert alone(deeds.die_beside_a_forked_child, str(tmp_path / "home")) == ["INTERRUPTED"]


def test_looking_whether_an_owner_lives_never_makes_it_look_alive_to_others(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    (tmp_path / "home" / "owners").mkdir()
    (tmp_path / "home" / "owners" / "dead.lock").touch()
    alive = alone(deeds.look_at_a_dead_owner, str(tmp_path / "home"), 4, 2000)
    assert alive == [0, 0, 0, 0]
    store.close()


def test_threads_that_have_ended_leave_no_connection_behind(tmp_path: Path) -> None:
    with af.Project("threads", home=tmp_path) as project:
        project.publish("k")
        for _ in range(20):
            thread = threading.Thread(target=project.events.count)
            thread.start()
            thread.join()
        assert len(project._store._readers) <= 3


def test_an_owner_is_alive_until_it_closes(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "home"), Store(tmp_path / "home")
    owner = first.claim_owner(1.0)
    assert first.claim_owner(2.0) == owner
    assert second.is_owner_alive(owner)
    assert not second.is_owner_alive("nobody")
    assert not second.is_owner_alive(None)
    first.close()
    assert not second.is_owner_alive(owner)
    assert second.rows("SELECT id FROM owners") == []
    second.close()


def test_a_fork_and_the_opening_of_a_home_do_not_wait_for_each_other(tmp_path: Path) -> None:
    assert alone(deeds.fork_while_a_home_is_opened, str(tmp_path)) == ["forked", "opened"]
