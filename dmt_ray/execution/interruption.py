"""SIGTERM, which batch systems send: a training of this process keeps what it has at the end of its history row.

And Ctrl-C, which is answered at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TERMINATED = threading.Event()
"""Whether SIGTERM has ended what this process did, where it is taken as Ctrl-C (`cluster.stop_on_terminate`)."""


@contextmanager
def answered() -> Iterator[None]:
    """In this block a line on standard error answers the first Ctrl-C at once, while the main thread cleans up.

    Whoever handles the signal, and whatever the main thread waits for: the byte that Python writes for each signal is
    read in a thread. Where another one reads these already, as in a notebook, nothing is printed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receive, send = os.pipe()
    os.set_blocking(send, False)
    before = signal.set_wakeup_fd(send, warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)

    def answer() -> None:
        while signals := os.read(receive, 16):
            if signal.SIGINT in signals:
                text = "\nstopping: all finished work is kept; press Ctrl-C again to stop at once"
                print(text, file=sys.stderr, flush=True)
                return

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        if before == -1:
            signal.set_wakeup_fd(-1)
        os.close(send)  # which ends the thread
        thread.join()
        os.close(receive)


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
