"""Ends a driver with a sentence when the head of its Ray cluster is gone.

Ray itself aborts such a process, at once or up to a minute later, with a stack trace of C++ that names no cluster.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable

LOOK_SECONDS = 1.0  # between two looks
REFUSALS = 3  # in a row: the process that listened there is gone
STATUS = 2  # as after every error that a person can act on


class HeadWatch:
    """Looks from a thread whether something still listens where the head does.

    Connections that are refused say that it is gone. No answer says nothing: a network may be slow, a head be busy.

    Args:
        address: The head's host:port.
        gone: Called once, from the thread, when it is gone.
    """

    def __init__(self, address: str, gone: Callable[[], None]) -> None:
        host, _, port = address.rpartition(":")
        self._place, self._gone, self._ended = (host.strip("[]"), int(port)), gone, threading.Event()
        threading.Thread(target=self._look, daemon=True, name="head").start()

    def end(self) -> None:
        """Look no longer: the cluster may go now."""
        self._ended.set()

    def _look(self) -> None:
        refusals = 0
        while not self._ended.wait(LOOK_SECONDS):
            refusals = refusals + 1 if self._refuses() else 0
            if refusals == REFUSALS:
                self._gone()
                return

    def _refuses(self) -> bool:
        try:
            socket.create_connection(self._place, LOOK_SECONDS).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


def leave(where: str) -> None:
    """End this process as a kill would, which loses nothing that was finished, and say why.

    Not by an exception: what the main thread waits for is in Ray, which waits for the cluster.

    Args:
        where: Which Ray it is, as in "the Ray cluster at 10.0.0.1:6379".
    """
    import ray

    if not ray.is_initialized():  # somebody has shut it down
        return
    text = f"{where} is gone: its head was lost, or stopped. All finished work is kept: run the same command again"
    print(f"\nerror: {text} to resume.", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(STATUS)
