"""A fault at every file operation of the store, and a power cut behind each: nothing wrong is read, nothing is lost."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from dmt_ray import recipes
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.plan import Stage, operations
from dmt_ray.store import DamagedStage, Store, exchange, leases, shared, store
from tests.helpers.disk import Died, Disk, Operation, after_power_cut, copy_of, every_fault, every_power_cut, fresh_copy

CONFIG = recipes.named("shapes")
A, OTHER = (operations.pretrain(CONFIG, seed=seed) for seed in (0, 1))
LABELS = operations.label(CONFIG, teacher=A, share=0.2)
CONTENT = {
    A: {"model.safetensors": b"weights", "history.csv": b"step,loss\n0,1.5\n"},
    OTHER: {"model.safetensors": b"others", "history.csv": b"step,loss\n0,1.25\n"},
    LABELS: {"labels.npy": b"numbers", "summary.json": b"{}\n"},
}


def put(into: Store, stage: Stage) -> None:
    with into.write(stage) as folder:
        for name, content in CONTENT[stage].items():
            (folder / name).write_bytes(content)


def read(store: Store, stage: Stage) -> Mapping[str, bytes] | None:
    """The files of a stage, if the store gives it out."""
    try:
        folder = store.open(stage, files=True)
    except (MissingStages, DamagedStage):
        return None
    return {name: (folder / name).read_bytes() for name in CONTENT[stage]}


def holds(*finished: Stage) -> Callable[[Path], None]:
    """A check: these stages are found, and of no stage anything wrong is read."""

    def check(folder: Path) -> None:
        store = Store(folder)
        found = {stage: content for stage in CONTENT if (content := read(store, stage)) is not None}
        assert all(content == CONTENT[stage] for stage, content in found.items())
        assert set(finished) <= found.keys()
        assert store.verify().damaged == []

    return check


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once again at what another process does."""
    for module in (leases, exchange, store):
        monkeypatch.setattr(module, "POLL", 0.01)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A store with one stage."""
    put(Store(tmp_path / "runs"), A)
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def leases_expire_by_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "WATCH", 0.0)


def half_a_minute_later(folder: Path) -> None:
    """Let the time pass after which a lease counts as expired that a dying process has left half-written."""
    for path in folder.rglob("leases/*"):
        os.utime(path, (0, 0))


def compute(store: Store, stage: Stage) -> None:
    """As a worker does: lease, compute, write."""
    with store.lease(stage) as lease:
        if lease.held:
            (store.scratch(stage) / "checkpoint").write_bytes(b"half-way")
            lease.beat(1, 2)
            put(store, stage)


# ---- a fault at every operation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [pytest.param(errno.EIO, id="EIO"), pytest.param(errno.ENOSPC, id="ENOSPC", marks=pytest.mark.slow)],
)
def test_no_fault_in_leasing_and_writing_a_stage_loses_or_falsifies_one(
    start: Path, number: int, record_property: Callable[[str, object], None]
) -> None:
    tally = every_fault(
        start,
        lambda folder: compute(Store(folder), LABELS),
        holds(A),
        known=(StoreError, OSError),
        number=number,
        settle=half_a_minute_later,
    )
    record_property("faults", tally.faults)
    assert tally.operations > 30
    assert read(Store(copy_of(start)), LABELS) == CONTENT[LABELS]
    assert [path.name for path in (copy_of(start) / "leases").iterdir()] == []


@pytest.mark.slow
def test_no_fault_in_taking_over_a_lease_loses_or_falsifies_a_stage(
    start: Path, record_property: Callable[[str, object], None]
) -> None:
    with suppress(Died), Disk(start).mounted() as disk, Store(start).lease(LABELS):
        disk.dead = True
    tally = every_fault(
        start,
        lambda folder: compute(Store(folder), LABELS),
        holds(A),
        known=(StoreError, OSError),
        settle=half_a_minute_later,
    )
    record_property("faults", tally.faults)
    assert tally.operations > 35
    assert read(Store(copy_of(start)), LABELS) == CONTENT[LABELS]


def test_no_fault_in_making_a_store_keeps_it_from_being_made(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "runs").mkdir()
    tally = every_fault(tmp_path / "runs", Store, lambda folder: Store(folder) and None, known=StoreError)
    record_property("faults", tally.faults)
    assert tally.operations >= 6


def test_no_fault_in_eviction_falsifies_a_stage_or_loses_its_record(
    start: Path, record_property: Callable[[str, object], None]
) -> None:
    put(Store(start), LABELS)

    def check(folder: Path) -> None:
        holds()(folder)
        store = Store(folder)
        assert (store.has(A), store.has(LABELS)) == (True, True)
        assert (store.open(A) / "history.csv").read_bytes() == CONTENT[A]["history.csv"]

    tally = every_fault(
        start, lambda folder: Store(folder).gc(0), check, known=(StoreError, OSError), settle=half_a_minute_later
    )
    record_property("faults", tally.faults)
    assert tally.operations > 30
    store = Store(copy_of(start))
    assert (store.record(A).evicted, store.record(LABELS).evicted) == (("model.safetensors",), ("labels.npy",))


def test_no_fault_in_quarantining_a_damaged_stage_gives_it_out(
    start: Path, record_property: Callable[[str, object], None]
) -> None:
    put(Store(start), OTHER)
    (Store(start).path(A) / "model.safetensors").write_bytes(b"wrongly")

    def scenario(folder: Path) -> None:
        read(Store(folder), A)

    def check(folder: Path) -> None:
        assert read(Store(folder), A) is None
        holds(OTHER)(folder)

    tally = every_fault(start, scenario, check, known=(StoreError, OSError), settle=half_a_minute_later)
    record_property("faults", tally.faults)
    assert tally.operations >= 4


# ---- with an object store -----------------------------------------------------------------------------------------


@pytest.fixture
def one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked again after a pause, and each request is an operation that may fail."""
    monkeypatch.setattr(shared, "FRESH", 0.0)
    monkeypatch.setattr(shared, "_SHARE", 0.0)
    monkeypatch.setattr(shared, "PAUSES", ())
    monkeypatch.setattr(shared, "_AT_ONCE", 1)
    request = shared.Shared._request

    def counted(self: shared.Shared, ask: Callable[[], object]) -> object:
        disk = Disk.current
        if disk is not None:
            try:
                disk.step(Operation("request", self.name))
            except OSError as error:
                raise self._unusable(str(error)) from error
        return request(self, ask)

    monkeypatch.setattr(shared.Shared, "_request", counted)


def machine(folder: Path, name: str) -> Store:
    """A store that shares an object store; both lie in the folder."""
    return Store(folder / name, shared=(folder / "bucket").as_uri())


def agree(*finished: Stage) -> Callable[[Path], None]:
    """A check: no machine gives out a wrong stage, and a new one finds what was uploaded."""

    def check(folder: Path) -> None:
        for name in ("one", "other"):
            found = {stage: read(machine(folder, name), stage) for stage in CONTENT}
            assert all(content in (None, CONTENT[stage]) for stage, content in found.items())
            assert all(found[stage] is not None for stage in finished)
        shutil.rmtree(folder / "other", ignore_errors=True)

    return check


@pytest.mark.slow
@pytest.mark.usefixtures("one_request_at_a_time")
def test_no_fault_in_an_upload_falsifies_or_loses_a_stage(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    put(machine(tmp_path / "all", "one"), A)
    tally = every_fault(
        tmp_path / "all",
        lambda folder: compute(machine(folder, "one"), LABELS),
        agree(A),
        known=(StoreError, OSError),
        settle=half_a_minute_later,
    )
    record_property("faults", tally.faults)
    assert tally.operations > 50
    agree(A, LABELS)(copy_of(tmp_path / "all"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_request_at_a_time")
def test_no_fault_in_a_download_falsifies_or_loses_a_stage(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    put(machine(tmp_path / "all", "one"), A)
    tally = every_fault(
        tmp_path / "all",
        lambda folder: read(machine(folder, "third"), A),
        agree(A),
        known=(StoreError, OSError),
        settle=half_a_minute_later,
    )
    record_property("faults", tally.faults)
    assert tally.operations > 20
    assert read(Store(copy_of(tmp_path / "all") / "third"), A) == CONTENT[A]


# ---- the power goes -----------------------------------------------------------------------------------------------


def test_a_power_cut_while_a_stage_is_written_loses_and_falsifies_no_finished_one(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "runs").mkdir()
    states = every_power_cut(
        tmp_path / "runs", lambda folder: compute(Store(folder), A), holds(), settle=half_a_minute_later
    )
    record_property("power cuts", states)
    assert states > 100


def test_what_was_written_before_the_power_went_is_there(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "runs").mkdir()
    folder = fresh_copy(tmp_path / "runs")
    with Disk(folder).mounted() as disk:
        compute(Store(folder), A)
        finished = len(disk.log)
        compute(Store(folder), LABELS)
    for at in range(finished, len(disk.log) + 1):
        for seed in range(3):
            after_power_cut(tmp_path / "runs", disk.log[:at], folder, seed)
            holds(A)(folder)
    record_property("power cuts", 3 * (len(disk.log) + 1 - finished))


def test_a_power_cut_in_an_eviction_loses_and_falsifies_no_stage(
    start: Path, record_property: Callable[[str, object], None]
) -> None:
    put(Store(start), LABELS)

    def check(folder: Path) -> None:
        holds()(folder)
        assert (Store(folder).open(A) / "history.csv").read_bytes() == CONTENT[A]["history.csv"]
        assert (Store(folder).open(LABELS) / "summary.json").read_bytes() == CONTENT[LABELS]["summary.json"]

    states = every_power_cut(start, lambda folder: Store(folder).gc(0), check, settle=half_a_minute_later)
    record_property("power cuts", states)
    assert states > 100
