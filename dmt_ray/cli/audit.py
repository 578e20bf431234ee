"""`dmt audit` and `dmt bundle`: stages computed again and compared, by whoever has the data."""

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import begin, ignored
from dmt_ray.errors import ConfigError
from dmt_ray.execution.cost import duration
from dmt_ray.execution.options import check_seeds
from dmt_ray.experiments.experiment_file import FOLDERS
from dmt_ray.experiments.locate import locate
from dmt_ray.files import obstacle
from dmt_ray.plan.words import be, counted

if TYPE_CHECKING:
    from dmt_ray.experiments.audit import Audit, Step
    from dmt_ray.experiments.audited import Audited
    from dmt_ray.plan import Stage

QUIET_SECONDS = 30.0  # between two lines that only say that a stage goes on


def audit(options: argparse.Namespace) -> int:
    """Compute stages of a table again and say what came of it; a status of its own if one differs."""
    check_seeds("--seed", [options.seed])
    if not (options.hours > 0 and math.isfinite(options.hours)):
        raise ConfigError(f"--hours must be above 0, but got {options.hours:g}")
    table = _table(options)
    from dmt_ray.execution.differences import BOUND
    from dmt_ray.execution.interruption import answered
    from dmt_ray.execution.runner import device_check
    from dmt_ray.experiments.audit import Audit
    from dmt_ray.experiments.audit_file import sample
    from dmt_ray.results.auditing import by_operation, in_words

    device_check(options.device)
    lines = _Lines()
    made = Audit(
        table,
        seed=options.seed,
        hours=options.hours,
        device=options.device,
        say=lines.step,
        on_progress=lines.progress,
    )
    _say_what_is_expected(made)
    if options.dry_run:
        return ExitCode.DONE
    digests = table.digests()
    lines.number = len(sample(made.content, digests))
    with answered():
        made.perform()
    drawn = sample(made.content, digests)
    known = [(stage, one) for stage, digest in digests.items() if (one := made.content.of(stage, digest)) is not None]
    print(f"\nby operation: {by_operation((stage for stage, _ in drawn), digests)}")
    if not all(one.exact for _, one in drawn):
        exact = sum(one.exact for _, one in drawn)
        print(f"{exact} were compared byte by byte; the others, made elsewhere, within a bound: {BOUND}")
    differing = [(stage, one) for stage, one in known if not one.agrees]
    for stage, one in differing:
        also = "" if any(stage == other for other, _ in drawn) else ", an input of one that was drawn,"
        print(f"differs: {stage.name}{also} ({stage.config}; seed {stage.seed}): {one.what}")
    print(in_words(made.content, digests))
    return ExitCode.FAILED if differing else ExitCode.DONE


def _table(options: argparse.Namespace) -> "Audited":
    from dmt_ray.experiments import bundle

    if bundle.is_bundle(options.table):
        begin(f"reading {options.table}")
        from dmt_ray.experiments.audited import Audited

        path = Path(options.table)
        work = options.out or Path(f"{path.name.removesuffix(bundle.ENDING)}-audit")
        return Audited.of_bundle(path, work.absolute(), _absolute(options.data), options.changes)
    ignored("is for bundles; a storage folder knows where its files lie", options, changes="--set")
    folder = locate(options.storage, options.table, kinds=tuple(FOLDERS))
    begin(f"reading the records of {folder.name}")
    from dmt_ray.experiments.audited import Audited

    return Audited.of_folder(folder, _absolute(options.out), _absolute(options.data))


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _say_what_is_expected(made: "Audit") -> None:
    from dmt_ray.experiments.audit_file import sample

    table, expected = made.table, made.expected()
    total, whole = len(table.records), sum(float(one.made.get("seconds", 0.0)) for one in table.records.values())
    of = f" of {table.planned} planned" if table.planned > total else ""
    print(f"{table.name}: {counted(total, 'stage')}{of} {be(total)} computed, which took {duration(whole)} in all")
    if made.spent:
        done = len(sample(made.content, table.digests()))
        print(f"drawn so far: {counted(done, 'stage')}, in {duration(made.spent)} of {duration(made.seconds)}")
    inputs = expected.computed - expected.stages
    more = f", and {counted(inputs, 'input')}" * (inputs > 0)
    print(
        f"to be drawn with seed {made.content.seed}: about {counted(expected.stages, 'stage')}{more}, "
        f"{duration(expected.seconds)} by the recorded times"
    )


class _Lines:
    """Prints a line for each stage, and one every half minute while a long one goes on.

    Attributes:
        number: How many stages were drawn so far, in earlier starts too.
    """

    def __init__(self) -> None:
        self._printed = time.monotonic()
        self._left = 0.0  # seconds, when the last stage began or ended
        self._since = self._printed
        self.number = 0

    def step(self, step: "Step") -> None:
        """A stage begins or has ended."""
        self._left, self._since = step.left, time.monotonic()
        if step.outcome is None:
            return
        self.number += step.is_drawn
        what = "agrees" if step.outcome.agrees else "DIFFERS"
        what += "" if step.outcome.exact or not step.outcome.agrees else " within the bound"
        what += "" if step.outcome.agrees else f": {step.outcome.what}"
        number, name = (self.number, step.stage.name) if step.is_drawn else ("", f"{step.stage.name}, an input")
        self._print(f"{number:>4}  {name} ({duration(step.seconds)}) {what}")

    def progress(self, stage: "Stage", done: int, steps: int) -> None:
        """A stage goes on."""
        if time.monotonic() - self._printed > QUIET_SECONDS:
            self._print(f"      {stage.name}: {done:,}/{steps:,}")

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        left = max(0.0, self._left - (self._printed - self._since))
        print(f"{text} | time left: about {duration(left)}", flush=True)


def write_bundle(options: argparse.Namespace) -> None:
    """Write the archive of a table."""
    from dmt_ray.experiments import bundle

    folder = locate(options.storage, options.table, kinds=tuple(FOLDERS))
    out: Path = options.out or Path(f"{folder.name}{bundle.ENDING}")
    if reason := obstacle(out, bundle.ENDING):
        raise ConfigError(f"--out: {reason}")
    begin(f"bundling {folder.name}")
    from dmt_ray.execution.runner import Machine, Runner
    from dmt_ray.experiments import bundling, experiment_file
    from dmt_ray.experiments.members import members_of

    file = experiment_file.read(folder)
    data = _absolute(options.data) or (file.data if file.data is not None and file.data.is_dir() else None)
    runner = Runner(Machine(folder.parents[1], data, device="cpu"))
    kinds = {one.config.data.fingerprint: one.config.data for one in members_of(file, folder)}
    datasets = {fingerprint: runner.dataset(kind) for fingerprint, kind in kinds.items()}
    stages = bundling.write(out, folder, datasets, _csv(folder))
    print(f"{counted(stages, 'stage')} {be(stages)} recorded in {out} ({out.stat().st_size:,} bytes)")


def _csv(folder: Path) -> str:
    """The table of an experiment as CSV."""
    from dmt_ray.experiments.experiment_file import kind_of

    kind = kind_of(folder)
    if kind == "ablation":
        from dmt_ray.report.tables.files import table_of
        from dmt_ray.report.tables.text import csv
        from dmt_ray.results import tidy

        return csv(table_of(tidy.of_ablation(folder)))
    if kind == "sweep":
        from dmt_ray.results import tidy

        frame = tidy.of_sweep(folder).drop(columns="error")  # whose texts may name folders
    else:
        from dmt_ray.api.results import RunResults, open_results

        results = open_results(str(folder))
        assert isinstance(results, RunResults)
        frame = results.scores()
    text: str = frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    return text
