"""The command `ray`, but it waits five minutes for a node to come up: `python kills_ray.py start ...`.

By itself it gives a node up after 30 s, which on a busy machine, where others start at the same time, are too few.
"""

import time
from typing import Any

from ray._private import services
from ray.scripts import scripts

SECONDS = 300.0


def _patient(address: str, node: str) -> Any:
    end = time.monotonic() + SECONDS
    while True:
        try:
            return _get_node(address, node)
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


_get_node, services.get_node = services.get_node, _patient

if __name__ == "__main__":
    scripts.main()
