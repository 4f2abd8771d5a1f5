import pytest
from tests.runners.contract import *
from aiflow.runners.processes import ProcessRunner
@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, ProcessRunner)
    yield bench
    bench.runner.close()
class TestProcesses(RunnerContract): pass
