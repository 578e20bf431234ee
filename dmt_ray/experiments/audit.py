"""Computes stages of a table again, drawn at random, and compares them with their records."""

import shutil
from collections.abc import Callable, Container
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.execution.cost import duration
from dmt_ray.execution.differences import compare, rank, unlike
from dmt_ray.execution.journal import locked
from dmt_ray.execution.recompute import Recomputer, needed_for
from dmt_ray.experiments import audit_file
from dmt_ray.experiments.audit_file import AuditFile, Recomputed, drawn
from dmt_ray.experiments.audited import Audited
from dmt_ray.plan import Stage
from dmt_ray.store import DamagedStage, Record


class Step(NamedTuple):
    """A stage of an audit, for people.

    Attributes:
        stage: The stage.
        outcome: What came of it; None: it begins.
        is_drawn: Whether it was drawn; else it is an input of one.
        seconds: How long it took, or is expected to take.
        left: Seconds that are left for the audit, by expectation.
    """

    stage: Stage
    outcome: Recomputed | None
    is_drawn: bool
    seconds: float
    left: float


class Expected(NamedTuple):
    """What an audit would do."""

    stages: int  # that would be drawn anew
    computed: int  # with their inputs, where these cannot be read
    seconds: float  # by the recorded durations


class Audit:
    """An audit that can be gone on with.

    Args:
        table: What is audited.
        seed: Of the draw.
        hours: How long it may take, all starts together.
        device: Where stages are computed; "auto": on a device of the kind that their records name.
        say: Called when a stage begins and when it ends.
        on_progress: Called with a stage, its steps done and its steps in all.

    Raises:
        StoreError: If the file of an earlier start is damaged.
    """

    def __init__(
        self,
        table: Audited,
        *,
        seed: int,
        hours: float,
        device: str = "auto",
        say: Callable[[Step], None] = lambda _: None,
        on_progress: Callable[[Stage, int, int], None] = lambda *_: None,
    ) -> None:
        before = audit_file.read(table.file)
        self.table, self.seconds = table, hours * 3600
        self.content = AuditFile(seed, before.machines, before.stages)
        self._device, self._say, self._on_progress = device, say, on_progress
        self._speed: list[float] = []  # seconds here, by those of the record

    # ---- what it would take --------------------------------------------------------------------------------------

    def _estimate(self, stage: Stage) -> float:
        """Seconds that a stage may take here, by its record and by what others took."""
        made = self.table.records[stage].made if stage in self.table.records else {}
        speed = median(self._speed) if self._speed else 1.0
        return float(made.get("seconds", 0.0)) * int(made.get("workers", 1)) * speed

    @property
    def spent(self) -> float:
        """Seconds that all starts have taken together."""
        return sum(one.seconds for one in self.content.stages.values())

    def _chain(self, stage: Stage, done: Container[Stage]) -> list[Stage]:
        """What has to be computed for a stage, if what is `done` can be read beside the store."""
        here = self.table.records if self.table.storage is not None else {}
        return needed_for(stage, lambda needed: needed in done or (needed in here and not here[needed].evicted))

    def expected(self) -> Expected:
        """What it would do, by the recorded durations.

        Raises:
            ConfigError: If a stage takes longer than all the hours: it could never be drawn.
        """
        costs = {stage: sum(map(self._estimate, self._chain(stage, ()))) for stage in self.table.records}
        longest = max(costs, key=costs.__getitem__)
        if costs[longest] > self.seconds:
            least = costs[longest] / 3600
            raise ConfigError(
                f"--hours {self.seconds / 3600:g} is {duration(self.seconds)}, but {longest.name} alone takes about "
                f"{duration(costs[longest])}: a draw that leaves out long stages says nothing about them. Give at "
                f"least --hours {_rounded_up(least)}"
            )
        spent, count, computed = self.spent, 0, set[Stage]()
        before = spent
        for stage in drawn(self.table.records, self.content.seed):
            if self.content.of(stage, self.table.records[stage].digest) is not None:
                continue
            chain = [] if stage in computed else self._chain(stage, computed)
            need = sum(map(self._estimate, chain))
            if spent + need > self.seconds:
                break
            spent, count = spent + need, count + 1
            computed.update(chain)
        return Expected(count, len(computed), spent - before)

    # ---- the work ------------------------------------------------------------------------------------------------

    def perform(self) -> None:
        """Compute stages again until the hours are used up, or all are done.

        Raises:
            UserError: If a stage cannot be computed, or another process audits the same table. What is done is kept.
        """
        self.expected()
        with locked(self.table.work):
            audit_file.write(self.table.file, self.content)  # where that cannot be, nothing is worth computing
            where = (self.table.work / "store", self.table.storage, self.table.data)
            recomputer = Recomputer(*where, self._device, self._on_progress)
            recomputer.store.tidy()
            recomputer.check(self.table.records)
            for stage in drawn(self.table.records, self.content.seed):
                if self.content.of(stage, self.table.records[stage].digest) is None and not self._draw(
                    recomputer, stage
                ):
                    break
            else:
                shutil.rmtree(recomputer.store.folder, ignore_errors=True)

    def _draw(self, recomputer: Recomputer, stage: Stage) -> bool:
        """Compute a stage again, and what it needs; False if there is no time for it."""
        while True:
            chain = [] if recomputer.store.has(stage, files=True) else recomputer.store.chain(stage)
            if self.spent + sum(map(self._estimate, chain)) > self.seconds:
                return False
            try:
                for one in chain or [stage]:
                    self._say(Step(one, None, one == stage, self._estimate(one), self._left()))
                    outcome = self._recompute(recomputer, one)
                    self._say(Step(one, outcome, one == stage, outcome.seconds, self._left()))
            except DamagedStage:  # an input, which is quarantined now, and has to be computed again, too
                continue
            recomputer.store.drop(stage)
            return True

    def _left(self) -> float:
        """Seconds that the audit will still take, by expectation."""
        spent = 0.0
        for stage in drawn(self.table.records, self.content.seed):
            if self.content.of(stage, self.table.records[stage].digest) is None:
                need = self._estimate(stage)
                if self.spent + spent + need > self.seconds:
                    break
                spent += need
        return spent

    def _recompute(self, recomputer: Recomputer, stage: Stage) -> Recomputed:
        record = self.table.records.get(stage)
        if record is None:
            raise MissingStages(f"{stage.name} has no record in {self.table.name}, but other stages were made from it")
        made = recomputer.store
        if made.has(stage, files=True):  # of a start that was killed before it was noted
            folder, seconds = made.path(stage), float(made.record(stage).made["seconds"])
        else:
            folder, seconds = recomputer.compute(stage, record)
            if record.made.get("seconds"):
                self._speed.append(seconds / record.made["seconds"])
        here = recomputer.here(record)
        reasons = unlike(record.made, here)
        faults, within = self._faults(made.digest, stage, record, made.record(stage), folder)
        what = faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "") if faults else ""
        agrees = within if reasons else not faults
        if reasons and what:
            what = f"{what}; not expected to be the same bytes: {reasons[0]}"
        machine = {name: value for name, value in here.items() if name != "host"}
        outcome = Recomputed(
            *(record.digest, agrees, not reasons, what, seconds),
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=self.content.number_of(machine),
        )
        self.content.stages[stage.name] = outcome
        audit_file.write(self.table.file, self.content)
        return outcome

    def _faults(
        self, digest_of: Callable[[Stage], str], stage: Stage, record: Record, computed: Record, folder: Path
    ) -> tuple[list[str], bool]:
        """What differs, the most telling first, and whether the bound allows it all."""
        faults, within = list[str](), True
        if self.table.store is not None:
            try:
                self.table.store.open(stage, files=not record.evicted)
            except (DamagedStage, MissingStages) as damage:
                return [str(damage)], False
        for name in sorted(record.files.keys() ^ computed.files.keys()):
            faults.append(f"{name} is {'not written any more' if name in record.files else 'new'}")
            within = False
        for name in sorted(record.files.keys() & computed.files.keys(), key=rank):
            if record.files[name] != computed.files[name]:
                before = self.table.recorded(stage, name)
                if before is None:
                    faults.append(f"{name}: other bytes (what was recorded is not here to compare)")
                    continue
                difference = compare(name, before, (folder / name).read_bytes())
                faults.append(difference.text)
                within &= difference.within
        for name, needed in stage.inputs.items():
            if record.input_digests.get(name, "") not in ("", digest_of(needed)):
                faults.append(f"its input {name}, {needed.name}, is not the one that it was made from")
        return faults, within


def _rounded_up(hours: float) -> str:
    """Two digits, not less."""
    return f"{hours * 1.05:.2g}"
