"""The page of statuses says what the machine does, and the properties allow just that."""

from docs.state_machine_table import PAGE, execution_steps, job_steps, page
from tests.graph.test_machine_properties import EXECUTION_STEPS, STEPS


def test_the_committed_tables_are_those_that_the_machine_gives():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python docs/state_machine_table.py --write"


def test_the_allowed_steps_of_jobs_are_all_found_and_no_others():
    found = {(was, now) for was, _, now in job_steps() if now != "(waits)" and now != "(none)"}
    allowed = {(was or "(none)", now) for was, many in STEPS.items() for now in many}
    early = {("(none)", "RUNNING"), ("(waits)", "RUNNING"), ("(waits)", "SKIPPED"), ("(waits)", "STOPPED")}
    assert found - early == allowed - early


def test_the_allowed_steps_of_executions_are_all_found_and_no_others():
    assert set(execution_steps()) == {(was, now) for was, many in EXECUTION_STEPS.items() for now in many}
