"""What is true of every workflow and every history. The invariants of `Sim.check` hold between any two events, too."""

import json

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.graph.sim import JOB, ME, Sim, finish, wander
from tests.strategies import KEYS, brooks, examples, histories, pipelines, workflows

from aiflow.graph import machine
from aiflow.graph.backlog import first_wanted
from aiflow.graph.event import Draft
from aiflow.graph.file import CHANGES
from aiflow.graph.metadata import MetadataCondition

quick = examples(25)
ENDS = (None, None, None, "quiet", "never")
ENDED = {"SUCCESS", "FAILED", "STOPPED", "SKIPPED"}
FILES = [(f"/folder/in/{name}.csv", change, settle) for name in "ab" for change in CHANGES for settle in (0.0, 2.5)]
STEPS = {
    None: {"RUNNING", "SKIPPED"},
    "RUNNING": {"SUCCESS", "FAILED", "STOPPED", "SKIPPED", "RETRYING", "STOPPING", "QUEUED"},
    "STOPPING": {"STOPPED"},
    "RETRYING": {"QUEUED", "STOPPED"},
    "QUEUED": {"RUNNING", "STOPPED"},
}
EXECUTION_STEPS = {
    "INIT": {"RUNNING"},
    "RUNNING": {"STOPPING", "SUCCESS", "FAILED"},
    "STOPPING": {"STOPPED"},
    "SUCCESS": {"RUNNING"},
    "FAILED": {"RUNNING"},
    "STOPPED": {"RUNNING"},
}


def lived(drawn, history, **options):
    sim = Sim(drawn.workflow(), hold=True, is_so=sum(history) % 2 == 0, **options)
    wander(sim, history, keys=KEYS)
    return sim


@quick
@given(workflows(ends=ENDS), histories())
def test_35_the_same_log_gives_the_same_decisions(drawn, history):
    sim = lived(drawn, history)
    assert sim.replay().dump() == sim.state.dump()


@quick
@given(workflows(ends=ENDS), histories())
def test_a_state_that_went_through_json_goes_on_as_if_it_had_not(drawn, history):
    sim, other = lived(drawn, history), lived(drawn, history, reloading=True)
    assert other.log == sim.log
    assert other.state.dump() == sim.state.dump()


@quick
@given(workflows(ends=ENDS), histories())
def test_numbers_increase_by_one_and_each_run_ends_once_by_the_allowed_steps(drawn, history):
    sim = lived(drawn, history)
    status, numbers, attempts = {}, {}, {}
    for event in sim.events:
        if event.type != JOB:
            continue
        job, number, now = event.key, event.value["number"], event.value["status"]
        before = status.get((job, number))
        assert now in STEPS.get(before, ()), f"{job}#{number}: {before} → {now}"
        if before is None:
            assert number == numbers.get(job, 0) + 1
            numbers[job] = number
        if now == "RUNNING":
            assert event.value["attempt"] == attempts.get((job, number), 0) + 1
        attempts[job, number] = event.value["attempt"]
        status[job, number] = now


@quick
@given(workflows(ends=ENDS), histories())
def test_an_execution_goes_by_the_allowed_steps_and_nothing_happens_in_it_after_its_end(drawn, history):
    sim = lived(drawn, history)
    status = "INIT"
    for event, decided in sim.log:
        if event.type == "EXECUTION_STATUS_CHANGED":
            assert event.value["status"] in EXECUTION_STEPS[status]
            status = event.value["status"]
        elif decided or event.type == JOB:
            assert status in ("RUNNING", "STOPPING"), f"{event.key} {event.value} came when it was {status}"
    if sim.state.status.is_ended:
        assert not sim.running()
        assert not sim.startable()


@quick
@given(workflows(ends=ENDS), histories(), st.sampled_from(("other", "g", "going", "job:j0", "execution:drawn")))
def test_6_unrelated_events_change_nothing(drawn, history, key):
    sim = lived(drawn, history)
    before = json.dumps(sim.state.dump())
    sim.publish(key)
    sim.publish("go", namespace="elsewhere")
    for draft in (sim.asking("stop"), sim.asking("resume"), sim.asking("start_job", "j0")):
        sim.bring(draft._replace(execution_id="another"))
    sim.bring(Draft("job:j0", {"status": "FAILED", "number": 1, "attempt": 1}, JOB, execution_id="another"))
    for tick in sim.plan.timers:
        sim.bring(sim.about_time(tick, sim.now, execution_id="another"))
    assert json.dumps(sim.state.dump()) == before


@quick
@given(workflows(ends=("never", None)), histories())
def test_15_a_job_that_was_asked_to_stop_ends_stopped_however_it_returns(drawn, history):
    sim = lived(drawn, history)
    asked = {(j, n) for j, n in sim.running() if sim.run_of(j, n).status == "STOPPING"}
    for job, number in asked:
        sim.end(job, "SUCCESS", number)
        assert sim.changes(job, number)[-1] == "STOPPED"


@quick
@given(workflows(ends=ENDS), histories())
def test_38_nothing_runs_on_an_end_that_was_refused(drawn, history):
    sim = lived(drawn, history)
    refused = {(e.key[4:], e.value["number"]) for e in sim.events if e.type == JOB and e.value.get("refused")}
    names = [vertex.name for vertex in sim.plan.vertices]
    for start in sim.starts.values():
        assert not {(names[up], number) for up, number in start.inputs} & refused


@quick
@given(workflows(ends=ENDS), histories())
def test_22_a_stopped_execution_ends_stopped_when_its_jobs_have_reported(drawn, history):
    sim = lived(drawn, history)
    assume(sim.status == "RUNNING")
    sim.ask("stop")
    assert not sim.startable()
    for job, number in sim.running():
        assert sim.status == "STOPPING"
        sim.end(job, "FAILED", number)
    assert sim.status == "STOPPED"
    assert sim.state.busy == 0


@quick
@given(workflows(external=False), histories(), st.sampled_from(("SUCCESS", "FAILED")))
def test_20_an_execution_that_hears_nothing_from_outside_ends_when_nothing_runs(drawn, history, outcome):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, calm=True)
    if finish(sim, outcome):  # else its rules start jobs for ever
        assert sim.state.status.is_ended, sim.story()


@quick
@given(workflows(external=False, ends=ENDS[:-1]), histories())
def test_20_it_also_ends_when_people_and_dying_processes_interfere(drawn, history):
    sim = lived(drawn, history)
    if finish(sim):
        assert sim.state.status.is_ended, sim.story()


@quick
@given(workflows(refined=False, actions=("start_on", "restart_on")), histories(20))
def test_20_what_an_execution_still_waits_for_can_come(drawn, history):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, keys=KEYS, calm=True)
    if not finish(sim) or sim.state.status.is_ended:
        return
    starts = len(sim.starts)
    for outcome in ("SUCCESS", "FAILED", "STOPPED", "SKIPPED") * 3:
        for key in (*KEYS, *sim.clocks, *FILES * bool(sim.plan.by_folder), *sim.changing):
            if isinstance(key, MetadataCondition):
                sim.change(key, execution_id=ME)
            elif key in sim.clocks:
                sim.tick(key)
            elif key in FILES:
                sim.arrive(*key)
            else:
                sim.publish(key, execution_id=ME)
            if not finish(sim, outcome):
                return
    assert len(sim.starts) > starts or sim.state.status.is_ended, sim.story()


@quick
@given(workflows(), histories(20), histories(30))
def test_20_what_is_skipped_because_nothing_can_start_it_would_not_have_started(drawn, history, later):
    sim = Sim(drawn.workflow(), hold=True)
    other = Sim(drawn.workflow(), hold=True, ends="never")
    for number in history:
        wander(sim, [number], keys=KEYS, calm=True)
        wander(other, [number], keys=KEYS, calm=True)
        if len(sim.log) != len(other.log):
            break
    lost = {e.key[4:] for e, _ in sim.log[len(other.log) :] if _is_lost(e)}
    wander(other, later, keys=KEYS, calm=True)
    finish(other)
    assert not lost & {job for job, _ in other.starts}


def _is_lost(event):
    return event.type == JOB and (event.value.get("reason") or "").startswith("nothing can start it any more")


@quick
@given(pipelines(), histories(60))
def test_13_what_came_from_one_run_of_a_recurring_job_stays_together(drawn, history):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, keys=("go",), calm=True)
    assert finish(sim)
    for (_, number), start in sim.starts.items():
        assert {n for _, n in start.inputs} <= {number}
    assert len({sim.state.job(v.name).number for v in sim.plan.vertices}) == 1


@quick
@given(brooks(), histories(60))
def test_27_each_item_starts_each_job_that_depends_on_it_once_and_in_order(drawn, history):
    sim = Sim(drawn.workflow(), hold=True)
    wander(sim, history, calm=True)
    emitted = sim.state.job("j0").items
    assert finish(sim)
    for vertex in sim.plan.vertices[1:]:
        if vertex.items:
            started = sim.items_of(vertex.name, "j0")
            assert started == sorted(set(started))
            if not vertex.needs and len(vertex.feeds) == 1:
                assert started == list(range(1, emitted + 1))
    assert first_wanted(sim.state, 0) == emitted + 1 or set(sim.statuses().values()) != {"SUCCESS"}


@quick
@given(workflows(ends=ENDS), histories())
def test_27_an_item_that_a_job_still_needs_is_kept(drawn, history):
    sim = lived(drawn, history)
    for vertex in sim.plan.vertices:
        if vertex.emits:
            first = first_wanted(sim.state, vertex.index)
            for index in vertex.down:
                job = sim.state.jobs[index]
                starts = [*(r.start for r in (job.runs or {}).values()), *(job.starts or ()), *job.left]
                wanted = [n for start in starts for up, n in start.inputs if up == vertex.index]
                assert vertex.index not in sim.plan.vertices[index].items or min(wanted, default=first) >= first


def _taken_by_others(sim):
    taken = {up for v in sim.plan.vertices if v.takes for up in v.takes}
    down = {i for up in taken for i in sim.plan.vertices[up].down}
    return {sim.plan.vertices[i].name for i in taken | down}


@quick
@given(workflows(), histories())
def test_34_resuming_keeps_what_succeeded_and_loses_no_place(drawn, history):
    sim = lived(drawn, history)
    assume(sim.status == "RUNNING")
    sim.ask("stop")
    for job, number in sim.running():
        sim.end(job, "STOPPED", number)
    assert sim.status == "STOPPED"
    taken = _taken_by_others(sim)  # these run again for those who have not taken all of them
    kept = {job: n for job, n in sim.statuses().items() if n in ("SUCCESS", "REFUSED") and job not in taken}
    numbers = {v.name: sim.state.job(v.name).number for v in sim.plan.vertices}
    sim.ask("resume")
    skipped = {e.key[4:] for e, _ in sim.log if e.type == JOB and e.value["number"] > numbers[e.key[4:]]}
    assert not {*sim.startable(), *skipped} & set(kept)
    sim.replay()


@quick
@given(workflows(ends=ENDS), histories(), st.integers(0, 5))
def test_settling_and_retrying_what_does_not_run_says_nothing(drawn, history, number):
    sim = lived(drawn, history)
    for vertex in sim.plan.vertices:
        if (vertex.name, number) not in sim.running():
            report = machine.Report(vertex.name, number, 1, "SUCCESS")
            assert machine.settle(sim.state, report, 0.0) is None
            assert machine.retry(sim.state, vertex.index, number, 99, 0.0) is None
