"""Rule 9 as the machine sees it: functions of the user are asked, and their answers are events that decide."""

from tests.graph.sim import ME, Sim, every_log_replays  # noqa: F401

from aiflow.graph.condition import condition, event
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


@job
def a(*inputs): ...


@job
def b(*inputs): ...


def never_called(*_):
    raise AssertionError("no function of the user is called while it is decided")


picky = condition(never_called, keys=["num"])


def started_on(*conditions, of_execution=None, **options):
    @workflow(ends="never", **options)
    def w():
        node = a()
        for one in conditions:
            node.start_on(one)

    return Sim(w, context=of_execution)


def runs(sim, name="a"):
    return len([s for s in sim.changes(name) if s == "RUNNING"])


def test_9_an_event_meets_a_condition_with_a_function_only_when_it_has_said_yes():
    for asked in (event("num", where=never_called), picky):
        sim = started_on(asked)
        sim.publish("num")
        assert runs(sim) == 0
        sim.answer(False)
        sim.publish("num")
        sim.answer(True)
        assert runs(sim) == 1
        assert sim.causes("a") == ["num"]


def test_9_an_event_that_does_not_fit_is_not_asked_about():
    sim = started_on(event("num", 5, where=never_called))
    sim.publish("num", 4)
    sim.publish("other", 5)
    assert not sim.questions


def test_9_of_one_rule_one_question_is_asked_at_a_time_and_in_order():
    sim = started_on(picky)
    first, second = sim.publish("num"), sim.publish("num")
    assert [q.offset for q in sim.questions] == [first.offset]
    sim.answer(True)
    assert [q.offset for q in sim.questions] == [second.offset]


def test_9_a_later_event_of_the_same_rule_waits_for_the_answer_to_an_earlier_one():
    sim = started_on(event("x", where=never_called) | event("y"))
    x = sim.publish("x")
    sim.publish("y")
    assert runs(sim) == 0
    sim.answer(True)
    assert runs(sim) == 1  # the second waits in the line of the job
    assert sim.starts["a", 1].events == (x.offset,)


def test_9_other_rules_of_the_job_do_not_wait():
    @workflow(ends="never")
    def w():
        a().start_on(event("go")).start_on(picky).stop_on(event("halt"))

    sim = Sim(w)
    sim.publish("num")
    sim.publish("go")
    assert runs(sim) == 1
    sim.publish("halt")
    assert sim.changes("a")[-1] == "STOPPING"


def test_9_the_state_of_a_custom_condition_is_kept_per_rule_also_after_firing():
    sim = started_on(picky, picky)
    sim.publish("num")
    one, two = sim.questions
    sim.answer(True, one, state={"n": 1})
    sim.answer(False, two, state={"n": 2})
    progress = sim.state.job("a").progress
    assert [progress[rule].memories[0] for rule in (0, 1)] == [{"n": 1}, {"n": 2}]


def test_9_a_second_answer_to_the_same_question_changes_nothing():
    sim = started_on(picky.times(2))
    sim.publish("num")
    question = sim.answer(True)
    sim.asked[question] = None
    sim.answer(True, question)
    assert runs(sim) == 0


def test_9_a_pending_question_keeps_its_execution_alive():
    @workflow
    def w():
        b()
        a().start_on(event("num", where=never_called).own())

    sim = Sim(w)
    sim.publish("num", execution_id=ME)
    sim.end("b")
    assert sim.status == "RUNNING"
    sim.answer(False)
    assert (sim.status, sim.statuses()["a"]) == ("SUCCESS", "SKIPPED")


def test_7_rules_met_by_one_event_are_decided_together_when_its_last_answer_is_there():
    sim = started_on(event("num", where=never_called), event("num"))
    sim.publish("num")
    assert runs(sim) == 0
    sim.answer(True)
    assert runs(sim) == 1
    assert sim.starts["a", 1].rule == 0
    assert sim.starts["a", 1].shadowed == (1,)
    sim = started_on(event("num", where=never_called), event("num"))
    sim.publish("num")
    sim.answer(False)
    assert (runs(sim), sim.starts["a", 1].rule) == (1, 1)


def test_22_questions_of_an_execution_that_is_stopped_are_dropped():
    sim = started_on(picky)
    sim.publish("num")
    question = sim.questions[0]
    sim.ask("stop")
    assert sim.status == "STOPPED"
    sim.answer(True, question)
    assert runs(sim) == 0


def test_9_a_workflow_can_be_stopped_by_a_function():
    sim = started_on(event("go"), stop_on=event("enough", where=never_called))
    sim.publish("enough")
    sim.answer(False)
    assert sim.status == "RUNNING"
    sim.publish("enough")
    sim.answer(True)
    assert sim.status == "STOPPED"


# --- 3: a context function --------------------------------------------------------------------------------------------


def test_3_with_a_context_function_it_alone_decides_also_for_events_without_context():
    for said, comes in ((True, 1), (["mine"], 1), (["other"], 0), ([], 0), (["other", ME], 1)):
        for context in (None, "mine", "other"):
            sim = started_on(event("go"), context=never_called, of_execution="mine")
            sim.publish("go", context=context)
            assert runs(sim) == 0
            sim.answer(said)
            assert runs(sim) == comes


def test_3_the_id_of_an_execution_always_reaches_it_and_waits_for_what_came_before():
    sim = started_on(event("go"), context=never_called)
    sim.publish("go", context=ME)
    assert runs(sim) == 1
    sim.end("a")
    sim.publish("go")
    sim.publish("go", context=ME)
    assert runs(sim) == 1
    sim.answer([])
    assert runs(sim) == 2


def test_9_a_context_function_and_a_condition_are_asked_one_after_the_other():
    sim = started_on(picky, context=never_called)
    sim.publish("num")
    sim.answer(True)
    assert runs(sim) == 0
    sim.answer(True)
    assert runs(sim) == 1
