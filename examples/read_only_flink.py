"""A job on Flink that something else has started is watched; stopping the watching leaves it alone.

    aiflow run examples/read_only_flink.py -p url=http://127.0.0.1:8081 -p job_id=a75e3cbdd2fee1a5a5d2ee5d5a0f9b36

Its label says how the job does, and it ends as that ends.
"""

import aiflow as af


@af.workflow
def read_only_flink(job_id: str, url: str = "http://127.0.0.1:8081", interval: float = 1.0):
    af.observe_flink(job_id, url, name="theirs", interval=interval)
