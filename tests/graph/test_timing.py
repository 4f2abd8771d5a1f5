"""Conditions on time as values, and what a machine does with their ticks; nothing here waits for anything."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from tests.graph.sim import EPOCH, ME, Sim, every_log_replays  # noqa: F401  # each test runs kept and reloaded

import aiflow as af
from aiflow.errors import ParameterError
from aiflow.graph.condition import Condition, event
from aiflow.graph.job import job
from aiflow.graph.timing import Misfire, at, cron, every, timer_key
from aiflow.graph.workflow import workflow

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


def moment(seconds):
    return at(datetime.fromtimestamp(EPOCH + seconds, UTC))


@job
def a(*inputs): ...


@job
def b(*inputs): ...


@job
def c(*inputs): ...


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (every(60), "every(60)"),
        (every(0.25), "every(0.25)"),
        (every(timedelta(days=1), misfire="all"), "every(86400, misfire='all')"),
        (every(1_234_567.5).now(), "every(1234567.5).now()"),
        (cron("0 * * * *", tz="Europe/Berlin"), "cron('0 * * * *', tz='Europe/Berlin')"),
        (cron("  0 6 *  * * ", misfire="skip"), "cron('0 6 * * *', misfire='skip')"),
        (at(NEW_YEAR), "at('2030-01-01T00:00:00+00:00')"),
        (at(NEW_YEAR.astimezone(timezone(timedelta(hours=2)))).now(), "at('2030-01-01T00:00:00+00:00').now()"),
        ((every(60) & event("go")).times(2), "all(every(60), event('go')).times(2)"),
    ],
)
def test_conditions_on_time_print_readably_and_become_json_and_back(condition, text):
    assert str(condition) == text
    assert Condition.from_json(condition.to_json()) == condition


def test_conditions_on_time_compare_equal_by_what_they_say():
    assert every(60) == every(timedelta(minutes=1)) == every(60, misfire="once")
    assert every(60) != every(60, misfire="all") != every(60).now()
    assert cron("0 6 * * *", tz=ZoneInfo("Europe/Berlin")) == cron("0 6 * * *", tz="Europe/Berlin")
    assert cron("0 6 * * *", tz=UTC) == cron("0 6 * * *")
    assert at(NEW_YEAR) == at(NEW_YEAR.astimezone(ZoneInfo("Asia/Tokyo")))
    assert len({every(60), every(60), cron("0 6 * * *"), at(NEW_YEAR)}) == 3
    assert every(60).own() == every(60), "ticks are the execution's own anyway"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: every(0), "longer than 0 seconds, not 0"),
        (lambda: every(-1), "not -1"),
        (lambda: every(1e-9), "longer than 0 seconds, not 1e-09"),
        (lambda: every(float("nan")), "not nan"),
        (lambda: every("60"), "not '60'"),
        (lambda: every(True), "not True"),
        (lambda: every(60, misfire="never"), "once, skip, all, not 'never'"),
        (lambda: af.cron("0 * * *"), "'0 [*] [*] [*]'.*five fields"),
        (lambda: af.cron("61 * * * *"), "'61 [*] [*] [*] [*]'.*minute"),
        (lambda: af.cron("0 0 31 2 *"), "day-of-month"),
        (lambda: af.cron("daily"), "five fields"),
        (lambda: af.cron(""), "not ''"),
        (lambda: af.cron(5), "not 5"),
        (lambda: af.cron("0 6 * * *", tz="Europe/Bärlin"), "Bärlin.*no such time zone"),
        (lambda: af.cron("0 6 * * *", tz="Europe"), "'Europe'.*no such time zone"),
        (lambda: af.cron("0 6 * * *", tz="../x"), "no such time zone"),
        (lambda: af.cron("0 6 * * *", tz=timezone(timedelta(hours=1))), "name of a zone"),
        (lambda: af.cron("0 6 * * *", misfire="twice"), "not 'twice'"),
        (lambda: at(datetime(2030, 1, 1)), "has none"),
        (lambda: at("2030-01-01"), "not '2030-01-01'"),
    ],
)
def test_a_condition_on_time_that_means_nothing_is_refused_where_it_is_made(make, told):
    with pytest.raises(ParameterError, match=told):
        make()


@pytest.mark.parametrize("wrong", [{}, {"kind": "soon"}, {"kind": "every"}, {"kind": "every", "secs": 1}, {"kind": []}])
def test_what_is_no_condition_is_refused(wrong):
    with pytest.raises(ParameterError, match="not a condition"):
        Condition.from_json(wrong)


def test_a_condition_with_a_function_has_no_json():
    with pytest.raises(ParameterError, match="where is a function"):
        (every(60) & event("go", where=len)).to_json()


def test_ticks_cannot_be_published():
    for draft in (af.Draft("x", type="TIMER_FIRED"), af.Draft("timer:every(60)")):
        with pytest.raises(ParameterError, match="aiflow's own"):
            af.graph.event.check_draft(draft)


# --- what ticks do ----------------------------------------------------------------------------------------------------


def test_23_every_on_a_node_ticks_from_the_start_of_its_execution():
    @workflow
    def w():
        a().start_on(every(60))

    sim = Sim(w)
    assert [sim.tick() for _ in range(3)] == [EPOCH + 60, EPOCH + 120, EPOCH + 180]
    assert [e.timestamp for e in sim.events if e.type == "TIMER_FIRED"] == [EPOCH + 60, EPOCH + 120, EPOCH + 180]


def test_23_equal_conditions_of_one_execution_share_one_timer_and_others_have_their_own():
    @workflow
    def w():
        a().start_on(every(60))
        b().start_on(every(60) & event("go")).stop_on(every(60, misfire="all"))
        c().restart_on(cron("* * * * *"))

    sim = Sim(w)
    assert sorted(sim.clocks) == ["timer:cron('* * * * *')", "timer:every(60)", "timer:every(60, misfire='all')"]


def test_a_tick_of_another_execution_meets_nothing():
    @workflow
    def w():
        a().start_on(every(60))
        b().start_on(event("*"))

    sim = Sim(w)
    before = sim.state.dump()
    sim.bring(sim.about_time("timer:every(60)", sim.now, execution_id="another"))
    assert sim.state.dump() == before


def test_who_names_the_type_sees_the_ticks_of_all_executions():
    @workflow
    def w():
        a().start_on(event("timer:*", type="TIMER_FIRED"))
        b().start_on(every(60))

    sim = Sim(w)
    sim.bring(sim.about_time("timer:every(5)", sim.now, execution_id="another"))
    sim.end("a")
    sim.tick()
    assert sim.story("a", "b") == ["a RUNNING", "a SUCCESS", "a#2 RUNNING", "b RUNNING"]


@pytest.mark.parametrize(
    ("condition", "started"),
    [
        (lambda: every(60) & event("go"), [60]),
        (lambda: every(60) | event("go"), [0, 60, 120, 180]),
        (lambda: every(60).times(3), [180]),
        (lambda: (every(60) & event("go")).within(30), []),
        (lambda: every(60) & event("go").sticky(), [60, 120, 180]),
        (lambda: every(60) & moment(100), [100]),
        (lambda: every(60).now(), [0, 60, 120, 180]),
        (lambda: moment(100) | moment(150), [100, 150]),
    ],
)
def test_conditions_on_time_combine_like_all_others(condition, started):
    @workflow(ends="never")
    def w():
        a().start_on(condition())

    sim = Sim(w)
    sim.publish("go")
    while sim.clocks and min(sim.clocks.values()) <= EPOCH + 180:
        if sim.run_of("a"):
            sim.end("a")
        sim.tick()
    assert [e.timestamp - EPOCH for e in sim.of_job("a") if e.value["status"] == "RUNNING"] == started


def test_23_stop_on_and_restart_on_take_time_too():
    @workflow
    def w():
        a().restart_on(every(60)).stop_on(moment(90))

    sim = Sim(w)
    sim.tick("timer:every(60)")
    sim.end("a")
    sim.tick(timer_key(moment(90)))
    sim.end("a")
    assert sim.story("a") == [
        "a RUNNING", "a STOPPING", "a STOPPED", "a#2 RUNNING", "a#2 STOPPING", "a#2 STOPPED",
    ]  # fmt: skip


def test_an_execution_can_be_stopped_by_time():
    @workflow(stop_on=moment(90))
    def w():
        a().start_on(every(60))

    sim = Sim(w)
    sim.tick()
    sim.tick()
    sim.end("a")
    assert (sim.status, sim.state.stop_reason) == ("STOPPED", f"stopped by {moment(90)}")


# --- rule 14 ----------------------------------------------------------------------------------------------------------


def busy_and_ticking(condition, ticks=3, **options):
    @workflow
    def w():
        a.options(**options)().start_on(condition | event("go"))

    sim = Sim(w)
    for _ in range(ticks):
        sim.tick()
    return sim


def test_14_of_starts_that_time_makes_one_waits_at_most_and_has_all_events():
    sim = busy_and_ticking(every(60), 4)
    sim.end("a")
    sim.end("a")
    assert len(sim.starts) == 2
    assert len(sim.starts["a", 2].events) == 3


def test_14_a_start_that_waits_for_its_own_event_is_not_merged_with_a_tick():
    sim = busy_and_ticking(every(60), 1)
    sim.publish("go", 1)
    sim.tick()
    sim.publish("go", 2)
    sim.tick()
    for _ in range(4):
        sim.end("a")
    assert [sim.causes("a", n) for n in (2, 3, 4)] == [["go"], ["timer:every(60)"] * 2, ["go"]]
    assert len(sim.starts) == 4


@pytest.mark.parametrize("condition", [every(60, misfire="all"), every(60)], ids=["all", "queue"])
def test_14_ticks_that_all_count_wait_in_line(condition):
    sim = busy_and_ticking(condition, 3, **({} if condition.misfire is Misfire.ALL else {"if_running": "queue"}))
    for _ in range(3):
        sim.end("a")
    assert [len(start.events) for start in sim.starts.values()] == [1, 1, 1]


def test_14_a_metric_merges_too():
    @workflow(ends="never")
    def w():
        a().start_on(event("accuracy", type="METRIC_LOGGED"))

    sim = Sim(w)
    for value in range(3):
        sim.publish("accuracy", value, type="METRIC_LOGGED")
    sim.end("a")
    assert len(sim.starts["a", 2].events) == 2


# --- rule 20 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [every(60), cron("0 6 * * *")], ids=str)
@pytest.mark.parametrize("verb", ["start_on", "restart_on"])
def test_20_a_node_with_an_every_or_cron_rule_keeps_its_execution_open_until_it_is_stopped(condition, verb):
    @workflow
    def w():
        getattr(a(), verb)(condition)

    sim = Sim(w)
    for _ in range(3):
        sim.tick()
        sim.end("a")
        if verb == "restart_on" and sim.run_of("a"):
            sim.end("a")
    assert (sim.status, sim.run_of("a")) == ("RUNNING", None)
    sim.ask("stop")
    assert sim.status == "STOPPED"


def test_20_quiet_ends_it_when_nothing_runs():
    @workflow(ends="quiet")
    def w():
        a().restart_on(every(60))

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_20_a_stop_by_time_keeps_nothing_open():
    @workflow
    def w():
        a().stop_on(every(60))

    sim = Sim(w)
    sim.end("a")
    assert sim.status == "SUCCESS"


def test_20_a_rule_of_time_that_can_never_be_met_again_keeps_nothing_open():
    @workflow
    def w():
        b().start_on(every(60) & a().succeeded)

    sim = Sim(w)
    sim.end("a")
    sim.tick()
    assert sim.status == "RUNNING"
    sim.end("b")
    assert (sim.status, sim.statuses()) == ("SUCCESS", {"b": "SUCCESS", "a": "SUCCESS"})


def test_20_a_rule_of_time_whose_run_if_has_said_no_for_good_keeps_nothing_open():
    @workflow
    def w():
        b().start_on(every(60)).run_if(a())

    no, yes = Sim(w), Sim(w)
    no.end("a", truth=False)
    yes.end("a", truth=True)
    assert (no.status, yes.status) == ("RUNNING", "RUNNING"), "b may run, as far as anybody has asked"
    no.tick()
    assert (no.status, no.statuses()["b"]) == ("SUCCESS", "SKIPPED")
    yes.tick()
    yes.end("b")
    assert yes.status == "RUNNING"


def test_20_a_rule_of_time_whose_job_failed_leaves_its_node_skipped():
    @workflow
    def w():
        b().start_on(every(60) & a().succeeded)

    sim = Sim(w)
    sim.end("a", "FAILED")
    assert (sim.status, sim.statuses()["b"]) == ("FAILED", "SKIPPED")


def test_20_it_stays_open_while_what_a_rule_of_time_needs_can_come_again():
    @workflow
    def w():
        x = a().start_on(event("go"))
        b().start_on(every(60) & x.succeeded)

    sim = Sim(w)
    sim.publish("go")
    sim.end("a")
    sim.tick()
    sim.end("b")
    assert sim.status == "RUNNING"


def test_20_a_moment_is_waited_for_until_it_has_come():
    @workflow
    def w():
        a().start_on(moment(60))

    sim = Sim(w)
    assert sim.status == "RUNNING"
    sim.tick()
    sim.end("a")
    assert (sim.status, sim.clocks) == ("SUCCESS", {})


def test_20_a_moment_that_has_come_in_vain_leaves_its_node_skipped():
    @workflow
    def w():
        a().start_on(moment(60) & event("go").own())
        b().start_on(moment(90))

    sim = Sim(w)
    sim.tick()
    sim.tick()
    sim.end("b")
    assert (sim.status, sim.statuses()) == ("SUCCESS", {"a": "SKIPPED", "b": "SUCCESS"})


@pytest.mark.parametrize("seconds", [0, -10])
def test_20_a_moment_that_is_past_when_the_execution_starts_does_not_come_and_its_node_is_skipped(seconds):
    @workflow
    def w():
        a().start_on(moment(seconds))

    sim = Sim(w)
    assert sim.statuses() == {"a": "SKIPPED"}
    assert sim.reason("a") == f"nothing can start it any more; it waited for {moment(seconds)}"


def test_now_makes_a_moment_that_is_past_come_at_the_start():
    @workflow
    def w():
        a().start_on(moment(-10).now())

    sim = Sim(w)
    assert sim.tick() == EPOCH - 10
    sim.end("a")
    assert sim.status == "SUCCESS"


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_34_an_execution_that_was_stopped_and_is_resumed_goes_on_with_its_timers():
    @workflow
    def w():
        a().start_on(every(60))
        b().start_on(moment(90))

    sim = Sim(w)
    sim.tick()
    sim.ask("stop")
    sim.end("a")
    assert sim.status == "STOPPED"
    sim.clocks.clear()
    sim.ask("resume")
    assert sim.clocks == {"timer:every(60)": EPOCH + 120, timer_key(moment(90)): EPOCH + 90}
    assert sim.events[-1].execution_id == ME
