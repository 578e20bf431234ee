"""SIGTERM, which batch systems send: a training of this process keeps what it has at the end of its history row."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TERMINATED = threading.Event()
"""Whether SIGTERM has ended what this process did, where it is taken as Ctrl-C (`cluster.stop_on_terminate`)."""


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """In this block the first SIGTERM only sets a flag, which the yielded function returns; a second one acts at once.

    A block that ends with the flag set, because nothing in it looked, does then what SIGTERM did before. Only the main
    thread can handle a signal: in another one, as in most workers of Ray, the flag stays unset and SIGTERM ends the
    process; its stage goes on from its last checkpoint, at most a minute back.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag.is_set
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None: it was set by C

    def on_terminate(*_: object) -> None:
        flag.set()
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, on_terminate)
    try:
        yield flag.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
    if flag.is_set():
        signal.raise_signal(signal.SIGTERM)
