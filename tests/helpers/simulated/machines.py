"""Clocks, machines, processes and threads, and the order in which they do things.

A thread is a greenlet. Whatever it does to a disk or to the bucket takes some time, during which the others go on; then
it happens, at once. All chance is of one seed.
"""

import errno
import heapq
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from greenlet import greenlet

from tests.helpers.simulated.files import Mount

Answer = TypeVar("Answer")
Fault = Literal["die", "pause", "hold", "error", "lost", "short", "jump", "power"]
LONGEST = 4 * 3600.0  # virtual seconds after which whoever still waits waits for ever


class Died(BaseException):
    """The process has ended: nothing that it would do later happens."""


class Forever(Exception):
    """Something waits that should long be done."""


@dataclass
class Machine:
    """A computer.

    Attributes:
        mount: The disk on which its store is.
        ahead: Seconds by which its clock is ahead.
    """

    name: str
    mount: Mount
    ahead: float
    processes: dict[int, "Process"] = field(default_factory=dict)


@dataclass(eq=False)
class Process:
    """A process.

    Attributes:
        finished: Whether it has ended as it should.
        failed: The error with which it ended, if it did.
        stalled: True time of the last moment at which it, or one of its threads, did not get on as it should.
        digests: What its module `stage_dirs` remembers.
    """

    machine: Machine
    pid: int
    threads: list["Thread"] = field(default_factory=list)
    dead: bool = False
    paused_until: float = 0.0
    finished: bool = False
    failed: Exception | None = None
    stalled: float = -1e9
    digests: dict[Any, str] = field(default_factory=dict)
    descriptors: dict[int, Any] = field(default_factory=dict)
    ended: Callable[["Process"], None] = lambda process: None


class Thread:
    """A thread of a process, with what `threading.Thread` offers."""

    def __init__(self, world: "World", process: Process, target: Callable[[], object]) -> None:
        self.world, self.process, self.target = world, process, target
        self.turn = 0  # how often it has gone on: of two appointments, the second one is void
        self.done = False
        self.error: BaseException | None = None
        self.waits: list[Thread] = []  # for its end
        self.greenlet = greenlet(self._run, world.hub)

    def _run(self) -> None:
        try:
            self.target()
        except Died:
            pass
        except Exception as error:
            self.error = error
        self.done = True
        self.process.threads.remove(self)
        for thread in self.waits:
            self.world.appoint(thread, self.world.now)

    def start(self) -> None:
        """Begin."""
        self.process.threads.append(self)
        self.world.appoint(self, self.world.now)

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""
        return self in self.process.threads

    def join(self) -> None:
        """Wait for its end."""
        while not self.done:
            current = self.world.current
            assert current is not None
            self.waits.append(current)
            self.world.wait(None)


class Event:
    """What `threading.Event` is."""

    def __init__(self, world: "World") -> None:
        self._world, self._set = world, False
        self._waits: list[tuple[Thread, int]] = []

    def set(self) -> None:
        """Let those that wait go on."""
        self._set = True
        for thread, turn in self._waits:
            if thread.turn == turn:
                self._world.appoint(thread, self._world.now)
        self._waits = []

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, but at most so long."""
        if not self._set:
            assert self._world.current is not None
            self._waits.append((self._world.current, self._world.current.turn))
            self._world.wait(seconds)
        return self._set


class Lock:
    """What `threading.Lock` is."""

    def __init__(self, world: "World") -> None:
        self._world, self._held = world, False
        self._waits: deque[Thread] = deque()

    def __enter__(self) -> None:
        while self._held:
            assert self._world.current is not None
            self._waits.append(self._world.current)
            self._world.wait(None)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        while self._waits:
            self._world.appoint(self._waits.popleft(), self._world.now)


class Pool:
    """What `ThreadPoolExecutor` is, as far as the store uses it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._threads: list[Thread] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def map(self, function: Callable[[Any], Answer], items: Iterable[Any]) -> Iterator[Answer]:
        """Do all at the same time, and give the results in order."""
        results: dict[int, Answer] = {}

        def work(number: int, item: Any) -> Callable[[], None]:
            return lambda: results.update({number: function(item)})

        assert self._world.current is not None
        for number, item in enumerate(items):
            self._threads.append(Thread(self._world, self._world.current.process, work(number, item)))
        for thread in self._threads:
            thread.start()
        for number, thread in enumerate(self._threads):
            thread.join()
            if thread.error is not None:
                raise thread.error
            yield results[number]


class World:
    """True time, and who goes on when.

    Args:
        seed: Of everything.
        faults: The number of the operation at which something goes wrong, and what.
        faults_of_changes: The same, where only operations count that change something.
    """

    def __init__(
        self, seed: int, faults: dict[int, Fault] | None = None, faults_of_changes: dict[int, Fault] | None = None
    ) -> None:
        self.choose = random.Random(seed)
        self.faults, self.faults_of_changes = dict(faults or {}), dict(faults_of_changes or {})
        self.hit: list[str] = []  # the faults that have happened
        self.trace: Callable[[str], None] | None = None
        self.now = 0.0
        self.operations = self.changes = 0
        self.hub = greenlet.getcurrent()
        self.current: Thread | None = None
        self.machines: list[Machine] = []
        self.entered: Callable[[Process], None] = lambda process: None
        self._queue: list[tuple[float, int, Thread, int]] = []
        self._number = 0
        self._pid = 100

    # ---- processes --------------------------------------------------------------------------------------------------

    def spawn(
        self,
        machine: Machine,
        program: Callable[[], object],
        after: float = 0.0,
        ended: Callable[[Process], None] = lambda process: None,
    ) -> Process:
        """Begin a process; `ended` is called when it has ended, however that came."""
        self._pid += 1
        process = Process(machine, self._pid, ended=ended)
        machine.processes[process.pid] = process

        def main() -> None:
            try:
                program()
                process.finished = True
            except Exception as error:
                process.failed = error
            except Died:
                raise
            except BaseException:  # of those who watch: it is not the process that ends
                process.dead = True
                raise
            finally:
                self.end(process)

        thread = Thread(self, process, main)
        process.threads.append(thread)
        self.appoint(thread, self.now + after)
        return process

    def end(self, process: Process) -> None:
        """A process is there no longer, with all its threads."""
        if not process.dead:
            process.dead = True
            process.machine.processes.pop(process.pid, None)
            for thread in process.threads:
                if thread is not self.current:
                    self.appoint(thread, self.now)
            process.ended(process)

    # ---- who goes on ------------------------------------------------------------------------------------------------

    def appoint(self, thread: Thread, when: float) -> None:
        """Let a thread go on then, unless it does before."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, thread, thread.turn))

    def wait(self, seconds: float | None) -> None:
        """Let others go on: for so long, or until somebody makes an appointment for this thread."""
        thread = self.current
        assert thread is not None
        if thread.process.dead:
            raise Died
        if seconds is not None:
            until = self.now + seconds
            if thread.process.paused_until <= until and (not self._queue or until < self._queue[0][0]):
                self.now = until
                return
            self.appoint(thread, until)
        self.hub.switch()
        if thread.process.dead:
            raise Died

    def run(self) -> None:
        """Go on until nothing is left to be done."""
        queue = self._queue
        self.hub = greenlet.getcurrent()
        while queue:
            when, _, thread, turn = heapq.heappop(queue)
            if turn != thread.turn or thread.done:
                continue
            process = thread.process
            if process.paused_until > when and not process.dead:
                self.appoint(thread, process.paused_until)
                continue
            self.now = max(self.now, when)
            if self.now > LONGEST:
                raise Forever(f"process {process.pid} on {process.machine.name} still runs after {LONGEST} s")
            thread.turn += 1
            self.current = thread
            self.entered(process)
            if process.dead and not thread.greenlet:  # it has not begun
                thread.done = True
                continue
            thread.greenlet.switch()
        self.current = None

    # ---- what happens -----------------------------------------------------------------------------------------------

    def step(self, what: str, path: str = "", write: bool = False) -> Fault | None:
        """Let the time pass that an operation takes; what goes wrong with it, if its caller must see to that."""
        thread = self.current
        assert thread is not None
        process = thread.process
        if process.dead:
            raise Died
        self.operations += 1
        chance = self.choose.random()
        seconds = 0.0005 + 0.002 * chance if chance < 0.97 else self.choose.choice((0.02, 0.2, 1.0))
        fault = self.faults.pop(self.operations, None) if self.faults else None
        if write:
            self.changes += 1
            if self.faults_of_changes:
                fault = self.faults_of_changes.pop(self.changes, fault)
        if fault is not None:
            fault, seconds = self._befalls(fault, process, f"{what} {path}", seconds, write)
        self.wait(seconds)
        if self.trace is not None:
            self.trace(f"{self.now:10.3f} {process.machine.name} {process.pid} {what} {path}")
        return fault

    def _befalls(
        self, fault: Fault, process: Process, where: str, seconds: float, write: bool
    ) -> tuple[Fault | None, float]:
        """Let a fault happen. Returns what the caller must do, and how long the operation takes."""
        if fault in ("lost", "short") and not write:
            fault = "hold"
        self.hit.append(f"{self.now:.3f} s: {fault} at {where} of process {process.pid} on {process.machine.name}")
        if fault == "hold":
            process.stalled = self.now
            return None, self.choose.choice((3.0, 12.0, 40.0, 100.0))
        if fault == "pause":
            length = self.choose.choice((5.0, 25.0, 35.0, 90.0))
            process.stalled = self.now + length
            process.paused_until = self.now + length
        elif fault == "jump":
            self.jump(process.machine)
        elif fault == "die":
            if write and self.choose.random() < 0.5:
                return "die", seconds  # behind it
            self.end(process)
            raise Died
        elif fault == "power":
            self.power_cut(process.machine)
            raise Died
        elif fault == "error":
            process.stalled = self.now
            raise OSError(errno.EIO, os.strerror(errno.EIO), where)
        else:
            process.stalled = self.now
            return fault, seconds
        return None, seconds

    def jump(self, machine: Machine) -> None:
        """The clock of a machine is set."""
        machine.ahead += self.choose.choice((-3600.0, -40.0, -20.0, 20.0, 40.0, 3600.0))

    def power_cut(self, machine: Machine) -> None:
        """The power of a machine goes; its own disk keeps what was synced."""
        for process in list(machine.processes.values()):
            self.end(process)
        if not machine.mount.disk.network:
            machine.mount.disk.power_cut(self.choose)

    def die(self) -> None:
        """End the process that is running."""
        assert self.current is not None
        self.end(self.current.process)
        raise Died
