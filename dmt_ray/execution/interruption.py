"""SIGTERM, which batch systems send to every process: a stage that runs keeps what it has at the end of its row.

Ray's workers end at once on SIGTERM: its handler raises SystemExit in the main thread, while stages run in another one.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GRACE_SECONDS = 20.0  # for the row that is running; then the process ends anyway


class _State:
    wanted = False
    busy = 0
    before: Any = signal.SIG_DFL


def wanted() -> bool:
    """Whether the process is to end: what `Workspace.stop` asks."""
    return _State.wanted


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """In this block SIGTERM only sets `wanted`; outside it does what it did before."""
    _install()
    _State.busy += 1
    try:
        yield wanted
    finally:
        _State.busy -= 1


def _on_terminate(number: int, frame: Any) -> None:
    if _State.busy:
        _State.wanted = True
        last = threading.Timer(GRACE_SECONDS, os._exit, (128 + number,))
        last.daemon = True
        last.start()
    elif callable(_State.before):
        _State.before(number, frame)
    else:
        signal.signal(number, _State.before or signal.SIG_DFL)  # None: it was set by C
        signal.raise_signal(number)


def _install() -> None:
    if signal.getsignal(signal.SIGTERM) is _on_terminate:
        return
    if threading.current_thread() is threading.main_thread():
        _set()
        return
    # Only the main thread may set a handler, and in Ray's workers it runs nothing of ours: CPython has it make this
    # call between two of its instructions (Py_AddPendingCall, public C API).
    done = threading.Event()

    def call(_: Any) -> int:
        _set()
        done.set()
        return 0

    _KEPT.append(_CALL(call))
    if ctypes.pythonapi.Py_AddPendingCall(_KEPT[-1], None) == 0:
        done.wait(5)


def _set() -> None:
    if signal.getsignal(signal.SIGTERM) is not _on_terminate:
        _State.before = signal.signal(signal.SIGTERM, _on_terminate)


_CALL = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_KEPT: list[Any] = []  # ctypes does not keep what C is still to call
