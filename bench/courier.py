"""PNCP Sync as a contender of deliveries: one worker of kind delivery, one delivery, from its planning to its end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.databases import name_of, query
from bench.measure import DatabaseCpu, Run, cpu_seconds_of, peak_mib_of
from bench.mirror import wait_for_end, worker
from bench.products import DESTINATION, Task, write_files

_DELIVER = """
    INSERT INTO sync_executions (kind, resource, mode, criterio, trigger, published_at)
    VALUES ('delivery', $1, $2, 'atualizacao', 'api', now()) RETURNING id
"""


@contextmanager
def courier(task: Task) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that delivers, up and with its destination loaded."""
    with TemporaryDirectory(prefix="pncp-bench-") as folder:
        write_files(Path(folder), task)
        settings = {
            "WORKER_KINDS": "delivery",
            "CONNECTIONS_DIR": folder,
            "DELIVERY_ALLOW_LOOPBACK": "true",
        }
        with worker(task.database_url, settings) as process:
            yield process


def deliver(task: Task, process: subprocess.Popen[bytes], mode: str = "backfill") -> Run:
    """Run one delivery; `mode` is `backfill` for all that differs, or `update` for what has changed since the last."""
    before = cpu_seconds_of(process.pid)
    with DatabaseCpu(name_of(task.database_url)) as database_cpu:
        execution_id = query(task.database_url, _DELIVER, DESTINATION, mode)[0][0]
        state = wait_for_end(task.database_url, execution_id, [process])
    used = cpu_seconds_of(process.pid) - before
    return Run(state["seconds"], state["records_processed"], used, database_cpu.seconds, peak_mib_of(process.pid))
