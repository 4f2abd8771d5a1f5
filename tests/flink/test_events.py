"""Events out of functions that run on Flink: in both directions, from this machine and over HTTP, each once."""

from __future__ import annotations

import pytest
from tests.flink.waiting import until

import aiflow as af

pytestmark = pytest.mark.flink


def told(n: int, way: str) -> int:
    if n % 3 == 0:
        af.flink.publish("third", n, dedupe_key=f"third {n} {way}")
    return n


@af.job
def react() -> int:
    event = af.current().event
    assert event.sender == "numbers"
    return event.value


@af.workflow
def telling(target: str = "local"):
    af.flink_sql(
        f"""CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '7',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '6');
           CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
           INSERT INTO nowhere SELECT told(n, '{target}') FROM numbers""",
        udfs={"told": told}, name="numbers", target=target,
    )  # fmt: skip
    react().start_on(af.event("third").own())


@pytest.mark.parametrize("way", ["local", "http"])
def test_a_function_on_flink_publishes_and_starts_jobs_of_its_execution(flink, cluster, way):
    execution = flink.run(telling, target="local" if way == "local" else cluster.url, timeout=300, check=False)
    assert execution.status == "SUCCESS", [job.error for job in execution.jobs]
    assert execution.results("react") == [0, 3, 6]


@af.flink_job(stream=True, config={"execution.checkpointing.interval": "1 s"})
def counting(env, t_env):
    from pyflink.common import Types
    from pyflink.datastream.functions import KeyedProcessFunction

    class Tell(KeyedProcessFunction):
        def open(self, runtime_context):
            self.publisher = af.flink.Publisher(runtime_context, "tens")

        def process_element(self, value, ctx):
            if value % 10 == 0:
                self.publisher.publish(ctx, "ten", value)
            yield value

    t_env.execute_sql(
        "CREATE TEMPORARY TABLE source (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20', "
        "'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '100000')"
    )
    numbers = t_env.to_data_stream(t_env.from_path("source")).map(lambda row: row[0], output_type=Types.LONG())
    numbers.key_by(lambda _: 0).process(Tell(), output_type=Types.LONG()).print()


@af.workflow(ends="never")
def tens():
    counting().restart_on(af.event("again"))


def test_a_publisher_tells_each_event_once_over_a_restart_of_its_stream(flink):
    execution = flink.start(tens)

    def values() -> list[int]:
        return [event.value for event in execution.events() if event.key == "ten"]

    until(lambda: len(values()) >= 2)
    flink.publish("again", context=execution.id)
    until(lambda: execution.job("counting").number == 2)
    before = len(values())
    until(lambda: len(values()) >= before + 2)
    execution.stop()
    execution.wait(240)
    found = values()
    assert found == [10 * (n + 1) for n in range(len(found))]
