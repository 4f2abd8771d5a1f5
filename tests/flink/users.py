"""What other processes do with a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aiflow.flinksettings import FlinkSettings
from aiflow.runners.flink_cluster import LocalCluster


def use(home: str, linger: float) -> None:
    """Use the cluster of a home, started if need be, until standard input is closed or this process is killed."""
    cluster = LocalCluster(Path(home), FlinkSettings(linger=linger))
    cluster.ensure()
    status = cluster.status()
    print("ready", json.dumps({name: status[name] for name in ("id", "pid", "url")}), flush=True)
    sys.stdin.read()
