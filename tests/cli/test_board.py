from aiflow.cli.board import Board
from aiflow.cli.watch import Running
from aiflow.graph.condition import event
from aiflow.graph.event import Event
from aiflow.graph.job import job
from aiflow.graph.workflow import workflow


def said(offset: int, job: str, status: str, number: int = 1, attempt: int = 1, execution: str = "x") -> Event:
    value = {"status": status, "number": number, "attempt": attempt}
    return Event(offset, f"job:{job}", value, "JOB_STATUS_CHANGED", execution_id=execution, timestamp=float(offset))


def test_it_follows_each_job_and_counts_by_status() -> None:
    board = Board("x", ["a", "b", "c"])
    assert board.counts() == {"INIT": 3}
    for one in (
        said(1, "a", "RUNNING"),
        said(3, "a", "SUCCESS"),
        said(4, "b", "RUNNING"),
        said(5, "b", "RUNNING", execution="y"),
    ):
        board.take(one)
    assert board.counts() == {"INIT": 1, "SUCCESS": 1, "RUNNING": 1}
    first, second, third = board.selection(10)
    assert (first.job, first.status, first.seconds(100.0)) == ("a", "SUCCESS", 2.0)
    assert (second.job, second.status, second.seconds(10.0)) == ("b", "RUNNING", 6.0)
    assert (third.job, third.status, third.seconds(10.0)) == ("c", "INIT", None)


def test_a_job_that_runs_again_is_one_row_with_its_number() -> None:
    board = Board("x", ["a"])
    for one in (
        said(1, "a", "RUNNING"),
        said(2, "a", "FAILED"),
        said(5, "a", "RUNNING", number=2),
        said(6, "a", "SUCCESS", number=2),
    ):
        board.take(one)
    (row,) = board.selection(10)
    assert (row.name, row.status, row.seconds(9.0)) == ("a (2)", "SUCCESS", 1.0)
    assert board.counts() == {"SUCCESS": 1}


def test_where_there_is_little_room_what_failed_or_is_busy_comes_first() -> None:
    jobs = [f"j{i}" for i in range(100)]
    board = Board("x", jobs)
    for i, name in enumerate(jobs[:90]):
        board.take(said(2 * i + 1, name, "RUNNING"))
        if name != "j50":
            board.take(said(2 * i + 2, name, "FAILED" if name == "j7" else "SUCCESS"))
    assert [row.job for row in board.selection(4)] == ["j7", "j50", "j88", "j89"]
    assert board.counts() == {"INIT": 10, "RUNNING": 1, "FAILED": 1, "SUCCESS": 88}


def test_a_job_that_has_not_begun_is_noted_with_what_it_waits_for() -> None:
    @job
    def a(*inputs: int) -> int:
        return 1

    @workflow
    def w() -> None:
        x = a()
        a(x).start_on(event("go"))
        a(x)

    board = Board("x", ["a", "a_2", "a_3"], w.graph)
    assert [board.note(row) for row in board.selection(9)] == ["", "waits for event('go') and a", "waits for a"]
    board.take(said(1, "a", "SUCCESS"))
    assert [board.note(row) for row in board.selection(9)] == ["", "waits for event('go')", ""]


def test_what_is_served_is_a_line_for_each_execution_that_runs_and_a_count_of_those_that_ended() -> None:
    running = Running()
    for one in (
        of_execution(1, "RUNNING"),
        said(2, "a", "RUNNING"),
        of_execution(3, "RUNNING", "y"),
        said(4, "b", "RUNNING", execution="y"),
        said(5, "b", "SUCCESS", execution="y"),
        said(6, "a", "RUNNING", execution="of somebody else, before"),
    ):
        running.take(one)
    assert running.lines(12.0, 5) == ["nightly  x  11.0 s  a running 10.0 s", "nightly  y  9.00 s  waits"]
    assert running.lines(12.0, 1)[1:] == ["… and 1 more"]
    running.take(of_execution(7, "FAILED"))
    assert running.counts() == {"RUNNING": 1, "FAILED": 1}


def of_execution(offset: int, status: str, execution: str = "x") -> Event:
    kind = "EXECUTION_STATUS_CHANGED"
    return Event(offset, "execution:nightly", {"status": status}, kind, execution_id=execution, timestamp=float(offset))
