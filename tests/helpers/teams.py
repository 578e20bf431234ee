"""Runs a function in several processes that form a team, as the workers of a worker group do."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from dmt_ray.engine.team import Team


def in_team(size: int, function: Callable[[Team], Any]) -> list[Any]:
    """What the function returns on each worker, by rank."""
    # Forked, so that what the tests have imported is there at once; nothing that holds threads is used before.
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            context.Process(target=_work, args=(rank, size, Path(folder) / "meeting", function, results))
            for rank in range(size)
        ]
        for worker in workers:
            worker.start()
        found = {}
        while len(found) < size:
            if results.empty():
                ended = [worker.exitcode for worker in workers if worker.exitcode]
                assert not ended, f"workers ended with status {ended}"
                time.sleep(0.01)
            else:
                rank, result = results.get()
                found[rank] = result
        for worker in workers:
            worker.join()
    errors = [result for result in found.values() if isinstance(result, BaseException)]
    if errors:
        raise errors[0]
    return [found[rank] for rank in range(size)]


def _work(rank: int, size: int, meeting: Path, function: Callable[[Team], Any], results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    try:
        results.put((rank, function(Team(rank, size, dist.group.WORLD, dist.group.WORLD))))
    except Exception as error:
        results.put((rank, error))
    finally:
        dist.destroy_process_group()
