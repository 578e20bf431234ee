"""What three machines do with a store, from a seed, and what must hold of it whatever goes wrong."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dmt_ray import recipes
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.execution.runner import Machine as Settings
from dmt_ray.execution.runner import Runner
from dmt_ray.plan import Stage, operations
from dmt_ray.store import DamagedStage, Store
from dmt_ray.store import exchange as exchange  # its import of pyarrow must not fall into a schedule
from dmt_ray.store.leases import STALE
from dmt_ray.store.record import RECORD, Record
from tests.helpers.simulated.below import ROOT, simulated
from tests.helpers.simulated.bucket import Bucket, Troubles
from tests.helpers.simulated.files import Disk, Mount, leaves
from tests.helpers.simulated.machines import Fault, Forever, Machine, Process, World

if TYPE_CHECKING:
    from dmt_ray.engine.team import Team

Layout = Literal["network", "bucket", "both"]
Start = Literal["empty", "finished", "evicted"]

CONFIG = recipes.named("shapes")
MODEL = operations.pretrain(CONFIG, seed=0)
LABELS = operations.label(CONFIG, teacher=MODEL, share=0.2)
TUNED = operations.finetune(CONFIG, start=MODEL, labels=LABELS, seed=0)
SCORES = operations.evaluate(CONFIG, model=TUNED)
FILES = {
    MODEL: ("model.safetensors", "history.csv"),
    LABELS: ("labels.npy", "summary.json"),
    TUNED: ("model.safetensors", "history.csv"),
    SCORES: ("metrics.json",),
}
STAGES = {stage.name: stage for stage in FILES}
STORE = ROOT / "runs"
URL = "s3://bucket/prefix"
KINDS: tuple[Fault, ...] = ("die", "pause", "hold", "error", "lost", "short", "jump", "power")
HORIZON = 900  # operations among which the faults are; every fourth changes something


class Violated(BaseException):
    """Something that must hold does not."""


class Outcome(NamedTuple):
    """A schedule after which everything holds."""

    operations: int
    faults: list[str]
    computed: Counter[str]
    seconds: float  # virtual


def content(stage: Stage, name: str, attempt: int) -> bytes:
    """The bytes of a file, as one computation of its stage writes them."""
    return f"{stage.name} {name}, computed at the {attempt}. attempt\n".encode() * 3


def attempt_of(stage: Stage, name: str, found: bytes) -> int:
    """Which computation wrote these bytes; they are all that it wrote."""
    words = found.split(b"\n")[0].split()
    attempt = int(words[-2][:-1]) if len(words) > 2 and words[-2][:-1].isdigit() else -1
    if found != content(stage, name, attempt):
        raise Violated(f"wrong bytes in {name} of {stage.name}: {found!r}")
    return attempt


def one_attempt(attempts: dict[str, int], stage: Stage) -> None:
    """Check that the files of a stage are of one computation."""
    if len(set(attempts.values())) > 1:
        raise Violated(f"{stage.name} is mixed from several computations: {attempts}")


@dataclass
class Job:
    """What a machine is to do; if its process ends too early it is begun again, as a person or Ray would."""

    machine: Machine
    program: Callable[[], None]
    tries: int = 0
    done: bool = False


class Schedule:
    """One schedule.

    Args:
        seed: Of everything.
        trace: Told of each operation.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        choose = random.Random(f"schedule {seed}")
        self.choose = choose
        self.layout: Layout = choose.choice(("network", "network", "bucket", "both"))
        self.start: Start = choose.choice(("empty", "empty", "finished", "evicted"))
        self.deterministic = choose.random() < 0.3  # whether each computation gives the same bytes
        kinds = choose.sample(KINDS, choose.randint(1, len(KINDS)))
        count = choose.choice((0, 1, 1, 2, 3, 5))
        faults: tuple[dict[int, Fault], dict[int, Fault]] = {}, {}
        for _ in range(count):
            changes = choose.random() < 0.6
            faults[changes][choose.randrange(1, HORIZON // 4 if changes else HORIZON)] = choose.choice(kinds)
        self.world = World(seed, *faults)
        self.world.trace = trace
        self.troubles = Troubles()
        if self.layout != "network" and choose.random() < 0.6:
            rates = [choose.choice((0.0, 0.05, 0.3)) for _ in range(2)]
            self.troubles = Troubles(rates[0], rates[1], choose.choice((0.0, 0.0, 0.05)), choose.choice((0.0, 30.0)))
        self.jumps = bool(count) and "jump" in kinds
        self.undisturbed = not count and self.troubles == Troubles()
        self.bucket: Bucket | None = None
        if self.layout != "network":
            self.bucket = Bucket(self.world.step, lambda: self.world.now, self.world.choose, self.troubles)
        self.machines = self._machines()
        self.jobs: list[Job] = []
        self.finished: set[tuple[Disk, Stage]] = set()
        self.computed = Counter[str]()
        self.attempts = 0
        self.quiet = False
        self._leased: dict[Process, float] = {}  # since when a process computes
        self._fill()

    def _machines(self) -> list[Machine]:
        world, choose = self.world, self.choose
        skews = choose.choice(((0.0,), (0.0, 3.0, -3.0), (0.0, 20.0, -20.0, 45.0, -45.0, 3600.0, -3600.0)))
        caching = choose.choice((3.0, 30.0, 60.0))
        server = choose.choice(skews)
        network = Disk(lambda: 1.7e9 + world.now + server, network=True)
        machines = []
        for number, name in enumerate(("one", "two", "three")):
            if self.layout == "network" or (self.layout == "both" and number < 2):
                machines.append(Machine(name, Mount(network, lambda: world.now, caching), choose.choice(skews)))
            else:
                machine = Machine(name, Mount(network, lambda: world.now, 0), choose.choice(skews))
                disk = Disk(lambda machine=machine: 1.7e9 + world.now + machine.ahead, network=False)  # type: ignore[misc]
                machine.mount = Mount(disk, lambda: world.now, 0)
                machines.append(machine)
        return machines

    @property
    def disks(self) -> list[Disk]:
        """Each disk once."""
        return list({id(machine.mount.disk): machine.mount.disk for machine in self.machines}.values())

    # ---- what is there before ---------------------------------------------------------------------------------------

    def _fill(self) -> None:
        if self.start == "empty":
            return
        tree, objects = _before(self.start, self.bucket is not None)
        disks = [disk for disk in self.disks if self.bucket is None or self.choose.random() < 0.6]
        for disk in disks:
            disk.fill(tree)
            self.finished |= {(disk, MODEL), (disk, LABELS)}
        if self.bucket is not None and disks:
            self.bucket.objects |= objects

    # ---- what the machines do ---------------------------------------------------------------------------------------

    def open_store(self) -> Store:
        """The store of the machine that runs."""
        return Store(STORE, URL if self.bucket is not None else None)

    @property
    def process(self) -> Process:
        """The process that runs."""
        assert self.world.current is not None
        return self.world.current.process

    def read(self, folder: Any, stage: Stage) -> None:
        """Read a stage that the store has given out, with all its files."""
        attempts = {name: attempt_of(stage, name, (folder / name).read_bytes()) for name in FILES[stage]}
        one_attempt(attempts, stage)

    def perform(self, target: Stage) -> Callable[[], None]:
        """A process that computes a stage with all it needs, and reads it."""

        def program() -> None:
            runner = _Runner(self)
            runner.perform([target])
            self._read_anyhow(runner.store, target)

        return program

    def keep_house(self, deeds: list[str]) -> Callable[[], None]:
        """A process that evicts, tidies, verifies and uploads."""

        def program() -> None:
            store = self.open_store()
            for deed in deeds:
                self.world.wait(self.world.choose.expovariate(1 / 15))
                if deed == "gc":
                    if self.jumps and not self.quiet and self.world.choose.random() < 0.3:
                        self.world.jump(self.process.machine)  # at the worst moment, to which few operations belong
                    try:
                        self._spared(store.gc(0).evicted)
                    except StoreError as error:
                        if "another process is tidying" not in str(error):
                            raise
                elif deed == "tidy":
                    store.tidy()
                elif deed == "verify":
                    if damaged := store.verify().damaged:
                        raise Violated(f"{damaged} are damaged, though nobody has damaged anything")
                elif deed == "upload":
                    store.upload()
                else:
                    for stage in FILES:
                        self._read_anyhow(store, stage)

        return program

    def _read_anyhow(self, store: Store, stage: Stage) -> None:
        """Read what is there of a stage, unprotected: files may be evicted meanwhile, but they are never wrong."""
        with suppress(MissingStages, DamagedStage):
            folder = store.open(stage)
            for name in FILES[stage]:
                with suppress(OSError):
                    attempt_of(stage, name, (folder / name).read_bytes())

    def _spared(self, evicted: tuple[str, ...]) -> None:
        """Check that eviction has left the only copy alone."""
        if self.bucket is None:
            return
        for path in evicted:
            name = path.split("/")[0].replace("-", "/", 1)
            if f"bucket/prefix/stages/{name}/{RECORD}" not in self.bucket.objects:
                raise Violated(f"{path} was evicted before it was uploaded")

    # ---- the whole --------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Let everything happen, and check what must hold.

        Raises:
            Violated: If something does not.
        """
        choose, world = self.choose, self.world
        for machine in self.machines:
            for _ in range(choose.choice((1, 1, 2))):
                target = choose.choice((SCORES, SCORES, TUNED, LABELS, MODEL))
                self._begin(Job(machine, self.perform(target)), choose.uniform(0, choose.choice((0.05, 5, 40))))
        keeping = choose.random() < 0.7
        if keeping:
            for machine in choose.sample(self.machines, choose.randint(1, 2)):
                deeds = choose.choices(("gc", "gc", "tidy", "verify", "upload", "read"), k=choose.randint(1, 4))
                self._begin(Job(machine, self.keep_house(deeds)), choose.uniform(0, 40))
        with simulated(world, self.bucket):
            try:
                world.run()
                self._all_done()
                self._settle()
            except Forever as error:
                raise Violated(str(error)) from None
        for disk in self.disks:
            self._check_disk(disk)
        if self.bucket is not None:
            self._check_bucket(self.bucket)
        if self.undisturbed and self.layout == "network" and not keeping and max(self.computed.values(), default=1) > 1:
            raise Violated(f"nothing went wrong, but stages were computed twice: {self.computed}")
        return Outcome(world.operations, world.hit, self.computed, world.now)

    def _begin(self, job: Job, after: float) -> None:
        self.jobs.append(job)
        job.tries += 1

        def ended(process: Process) -> None:
            self._leased.pop(process, None)
            job.done = process.finished
            if job.done:
                return
            if self.undisturbed or self.quiet:
                raise Violated(f"nothing went wrong, but a process ends with {process.failed!r}") from process.failed
            if job.tries > 12:
                raise Violated(f"a command fails again and again: {process.failed!r}") from process.failed
            job.tries += 1
            if job.tries > 6:
                self.troubles.fails = self.troubles.lost = self.troubles.altered = 0.0
            self.world.spawn(job.machine, job.program, self.choose.choice((0.1, 3.0, 20.0, 60.0)), ended)

        self.world.spawn(job.machine, job.program, after, ended)

    def _all_done(self) -> None:
        for job in self.jobs:
            if not job.done:
                raise Violated(f"a process on {job.machine.name} waits for ever")

    def _settle(self) -> None:
        """An hour later, undisturbed, a machine of each disk uploads, verifies, tidies and computes."""
        world = self.world
        world.faults, world.faults_of_changes = {}, {}
        self.troubles.fails = self.troubles.lost = self.troubles.altered = 0.0
        self.quiet = True
        keep, perform = self.keep_house(["upload", "verify", "tidy", "read"]), self.perform(SCORES)

        def program() -> None:
            keep()
            perform()

        machines = {id(machine.mount.disk): machine for machine in self.machines}
        for number, machine in enumerate(machines.values()):
            self._begin(Job(machine, program), 3600.0 + 600 * number)
        world.run()
        self._all_done()

    # ---- what must hold ---------------------------------------------------------------------------------------------

    def _check_disk(self, disk: Disk) -> None:
        tree = disk.tree().get(STORE.name, {})
        if tree.get("damaged"):
            raise Violated(f"a stage was set aside as damaged: {sorted(tree['damaged'])}")
        there = set[Stage]()
        for operation, keys in tree.get("stages", {}).items():
            for key, found in keys.items():
                there.add(self._check_stage(STAGES[f"{operation}-{key}"], dict(leaves(found))))
        for owner, stage in self.finished:
            if owner is disk and stage not in there:
                raise Violated(f"{stage.name} was finished, and is lost")
        if left := [name for name in ("staging", "leases") if tree.get(name)]:
            raise Violated(f"something is left behind: {[(name, sorted(tree[name])) for name in left]}")

    def _check_stage(self, stage: Stage, found: dict[str, bytes]) -> Stage:
        record = Record.from_json(found.pop(RECORD, b""))
        if set(record.files) != set(FILES[stage]):
            raise Violated(f"{stage.name} was published with {sorted(record.files)}")
        # An eviction that was interrupted leaves files, which the next one removes after an hour.
        if not record.files.keys() >= found.keys() >= record.files.keys() - set(record.evicted):
            raise Violated(f"{stage.name} has {sorted(found)}, and its record says {record.evicted} are evicted")
        one_attempt({name: attempt_of(stage, name, found[name]) for name in found}, stage)
        return stage

    def _check_bucket(self, bucket: Bucket) -> None:
        for path, (text, _) in bucket.objects.items():
            *_, operation, key, name = path.split("/")
            if name != RECORD:
                continue
            stage, record = STAGES[f"{operation}-{key}"], Record.from_json(text)
            below = f"{path.removesuffix(RECORD)}{record.digest}/"
            found = {name: bucket.objects[f"{below}{name}"][0] for name in record.files}
            self._check_stage(stage, {RECORD: text, **found})
        for _, stage in self.finished:
            path = f"bucket/prefix/stages/{stage.operation.name}/{stage.key}/{RECORD}"
            if path not in bucket.objects:
                raise Violated(f"{stage.name} was finished, and never reached the bucket")


class _Runner(Runner):
    """The real loop over stages; only what a stage computes is made up."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(Settings(STORE, shared=URL if schedule.bucket is not None else None))
        self._schedule = schedule

    def compute(self, stage: Stage, beat: Callable[[int, int], None], team: "Team | None" = None) -> None:
        """Read the inputs, take some time, read them again, and write."""
        schedule, world = self._schedule, self._schedule.world
        process, begun = schedule.process, world.now
        attempt = 0
        if not schedule.deterministic:
            schedule.attempts += 1
            attempt = schedule.attempts
        schedule.computed[stage.name] += 1
        folders = {below: self.store.open(below, files=True) for below in stage.inputs.values()}
        self.store.scratch(stage)
        for step in (1, 2):
            world.wait(world.choose.expovariate(1 / 3))
            beat(step, 2)
            for below, folder in folders.items():
                try:
                    schedule.read(folder, below)
                except OSError as error:
                    # Whose lease may have expired meanwhile must bear it.
                    if process.stalled >= begun - STALE:
                        raise MissingStages(str(error)) from error
                    raise Violated(f"{below.name} goes while {stage.name} is computed from it: {error}") from error
        with self.store.write(stage) as folder:
            for name in FILES[stage]:
                (folder / name).write_bytes(content(stage, name, attempt))
        schedule.finished.add((process.machine.mount.disk, stage))


def _before(start: Start, bucket: bool, known: dict[tuple[Start, bool], Any] = {}) -> Any:  # noqa: B006
    """A disk and a bucket on which the first two stages are finished, and perhaps evicted."""
    if (start, bucket) not in known:
        schedule = Schedule.__new__(Schedule)
        schedule.world, schedule.choose = World(0), random.Random(0)
        schedule.deterministic, schedule.finished, schedule.computed, schedule.attempts = True, set(), Counter(), 0
        schedule.bucket = Bucket(schedule.world.step, lambda: 0.0, random.Random(0), Troubles()) if bucket else None
        machine = Machine("before", Mount(Disk(lambda: 1.6e9, network=False), lambda: 0.0, 0), -1e8)

        def program() -> None:
            schedule.perform(LABELS)()
            if start == "evicted":
                schedule.open_store().gc(0)

        process = schedule.world.spawn(machine, program)
        with simulated(schedule.world, schedule.bucket):
            schedule.world.run()
        assert process.finished, process.failed
        known[start, bucket] = machine.mount.disk.tree(), schedule.bucket.objects if schedule.bucket else {}
    return known[start, bucket]


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Outcome:
    """Run the schedule of a seed.

    Raises:
        Violated: If something does not hold that must.
    """
    return Schedule(seed, trace).run()
