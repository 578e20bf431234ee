"""Runs a sweep from the first check to the summary."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from rich.console import Console

from dmt_ray import tracking
from dmt_ray.cli.dry_run import bound_sweep, warm
from dmt_ray.cli.options import begin
from dmt_ray.cli.sweep_cost import all_done
from dmt_ray.cli.sweep_options import SweepOptions
from dmt_ray.config import Config
from dmt_ray.execution import journal
from dmt_ray.execution.cost import Effort, Work
from dmt_ray.execution.interruption import answered
from dmt_ray.execution.journal import locked
from dmt_ray.execution.progress import Progress
from dmt_ray.execution.runner import Runner
from dmt_ray.execution.worker import Job
from dmt_ray.experiments import reuse
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.driver import Session, State, on_ray, session
from dmt_ray.experiments.experiment_file import FOLDERS, ExperimentFile, write
from dmt_ray.experiments.sweep import Params, Sweep
from dmt_ray.experiments.trials import ended, newest_attempt
from dmt_ray.plan import Stage
from dmt_ray.plan.words import counted, numbered
from dmt_ray.report import confirmation as confirmation_text
from dmt_ray.report import publishing, summary
from dmt_ray.search import confirm
from dmt_ray.search.budget import Account, Budget, Gain
from dmt_ray.search.confirm import Confirmation
from dmt_ray.search.progress import SweepProgress
from dmt_ray.search.study import Study
from dmt_ray.store import Store
from dmt_ray.tracking.publication import Publication


def drive(sweep_of: Callable[[Config], Sweep], config: Config, options: SweepOptions) -> int:
    """Run a sweep, or resume it.

    Args:
        sweep_of: Makes the sweep of settings that are bound to their data.
        config: Settings, not bound yet.
        options: What the command line says.

    Returns:
        0, also where the budget ends it, or 1 if a trial failed or MLflow lacks something.

    Raises:
        UserError: If something outside has to change first.
        KeyboardInterrupt: If the user stopped it.
    """
    console, runner = Console(markup=False), options.driver()
    seeds = [*options.seeds, *options.confirm]
    sweep, total = bound_sweep(runner, warm(sweep_of, options), config, seeds, options.trials)
    sweep = newest_attempt(options.storage / FOLDERS["sweep"], sweep, fresh=options.fresh)
    info = DatasetInfo.of(runner.dataset(sweep.config.data), sweep.config, seeds, options.command)
    where = (options.storage, options.data, options.recipe, options.changes)
    file = ExperimentFile(sweep, *where, total, info.to_json(), options.command)
    with locked(file.folder), answered():
        study = _study(file, runner, options)
        limits = _Limits(study, runner.store, options)
        connect = partial(tracking.connect, options.tracking_uri, options.storage)

        def publication(state: State) -> Publication:
            return publishing.of_sweep(file.folder, file, runner.store, state, study.trials())

        with session(connect, publication) as current:
            if not study.remaining:
                console.print(f"{sweep.name}: {all_done(sweep, total)}", highlight=False, soft_wrap=True)
            try:
                if limits.open() or _unconfirmed(study, runner.store, options):
                    _perform(console, study, runner, file, options, current, limits)
                else:
                    current.register(file)
            except KeyboardInterrupt:  # while Ray was closed, after all of the work, it is of no consequence
                if limits.interrupted() or _unconfirmed(study, runner.store, options):
                    raise
            finally:
                if not limits.interrupted():
                    if study.remaining and (why := limits.enough()) is not None:
                        console.print(f"{sweep.name}: {why}", highlight=False, soft_wrap=True)
                    current.state = "finished"
                    begin("writing the summary and its figures")
                    _conclude(console, study, runner.store, file, options, current)
                    begin("publishing to MLflow")
    return 1 if current.unpublished or any(trial.state == "failed" for trial in study.trials()) else 0


def _study(file: ExperimentFile, runner: Runner, options: SweepOptions) -> Study:
    work_of, sweep = Work(runner.work_of), file.sweep

    def compute(params: Params) -> float:
        return reuse.a_seed(sweep, params, work_of)

    how = {"sampler": options.sampler, "pruner": options.pruner}
    return Study(file.folder, sweep, file.trials, **how, compute=compute, limit=options.compute_limit)


class _Limits:
    """Says when a search ends before its last trial, and whether it has come to its end.

    Attributes:
        account: What it spends.
    """

    def __init__(self, study: Study, store: Store, options: SweepOptions) -> None:
        budget = Budget(options.hours, options.device_hours)
        self.account = Account(study.folder, store, budget)
        self._study = study
        self._gain = Gain(study.sweep, store, options.stop_when_flat) if options.stop_when_flat else None
        # Whether a search may end before its last trial: then those that have begun had better come to their end.
        self.any = budget != Budget() or self._gain is not None

    def enough(self) -> str | None:
        """Why no further trial begins; trials that were interrupted come to their end where only gains are lacking."""
        spent = self.account.spent()
        if spent is not None or self._gain is None or self._study.interrupted:
            return spent
        return self._gain.flat(self._study.trials())

    def open(self) -> bool:
        """Whether a trial is to be performed."""
        return self._study.remaining > 0 and self.enough() is None

    def interrupted(self) -> bool:
        """Whether trials are left that neither came to an end nor are beyond the budget."""
        if self.account.spent() is not None:
            return False
        running = any(trial.state == "running" for trial in self._study.trials())
        return running or (self._study.remaining > 0 and self.enough() is None)


def _perform(
    console: Console,
    study: Study,
    runner: Runner,
    file: ExperimentFile,
    options: SweepOptions,
    running: Session,
    limits: _Limits,
) -> None:
    sweep, store = study.sweep, runner.store
    done = ended(study.trials())
    past = f", {done:,} of them already done" if done else ""
    text = f"{sweep.name}: {counted(study.total, 'trial')}{past}; results in {options.storage}"
    console.print(text, highlight=False, soft_wrap=True)
    with on_ray(options, store, file.folder) as (job, room):
        wide = options.allocate_shared(job, room)
        running.register(file)
        from dmt_ray.execution import tasks  # needs the environment that connecting has prepared
        from dmt_ray.search import tuning
        from dmt_ray.search.trial import SweepJob

        effort = Effort(runner.work_of)

        account = limits.account

        def perform_all(
            groups: Sequence[Sequence[Stage]],
            by: tuple[Job, int],
            progress: Progress,
            what: str,
            **more: Callable[[], bool],
        ) -> None:
            job, concurrent = by
            todo = tasks.units(store, groups, effort, grouped=job.worker_group.workers > 1)
            tasks.perform_all(todo, job, progress, concurrent=concurrent, what=what, **more)

        if limits.open():
            arguments = (sweep, study.trials(), study.total, running.publish, account)
            with SweepProgress(console, store, effort, *arguments) as progress, account:
                by_seed = [[stage for stage in sweep.common() if stage.seed == seed] for seed in sweep.seeds]
                halted = lambda: account.spent() is not None  # noqa: E731
                perform_all(by_seed, wide, progress, "a stage that all trials share", halted=halted)
                if limits.open():  # the shared stages cost, too
                    whole = SweepJob(job.machine, job.folder, job.worker_group, sweep)
                    tuning.run_trials(study, whole, progress, room=room, turns=not limits.any, enough=limits.enough)
        if limits.interrupted():
            raise KeyboardInterrupt
        folder = file.folder / "confirm"  # what is written down about these runs is about no trial
        while (confirmation := _to_confirm(study, store, options)) and (missing := _missing(confirmation, store)):
            folder.mkdir(exist_ok=True)
            _describe(console, confirmation, missing)
            with Progress(console, store, effort, missing) as shown:
                perform_all(
                    confirmation.groups(), (replace(job, folder=folder), room), shown, "a stage on the fresh seeds"
                )
            journal.end_all(folder)
        begin("closing Ray")


def _missing(confirmation: Confirmation, store: Store) -> list[Stage]:
    """What is missing of the runs on fresh seeds, inputs first."""
    return store.missing(confirmation.stages())


def _describe(console: Console, confirmation: Confirmation, missing: Sequence[Stage]) -> None:
    """Say what is run again on fresh seeds."""
    stages, seeds = confirmation.stages(), numbered(confirmation.seeds, "seed")
    names = " and the ".join(candidate.name for candidate in confirmation.candidates())
    text = f"confirm: the {names} on {seeds}: {counted(len(stages), 'stage')}, {len(missing):,} to do"
    console.print(text, highlight=False)


def _to_confirm(study: Study, store: Store, options: SweepOptions) -> Confirmation | None:
    """What is to be run again on fresh seeds, if the user wants that and a trial is complete."""
    if not options.confirm:
        return None
    return confirm.confirmation(study.sweep, study.trials(), options.confirm, options.looks, store)


def _unconfirmed(study: Study, store: Store, options: SweepOptions) -> bool:
    confirmation = _to_confirm(study, store, options)
    return confirmation is not None and bool(_missing(confirmation, store))


def _conclude(
    console: Console, study: Study, store: Store, file: ExperimentFile, options: SweepOptions, running: Session
) -> None:
    """Write down and show what came out."""
    confirmation = _to_confirm(study, store, options)
    if confirmation is not None and not _missing(confirmation, store):
        confirm.write(file.folder, confirm.result(confirmation, store))
        for run in confirmation.runs():
            again = replace(file, experiment=run, trials=0)
            write(again.folder, again)
            running.publisher.publish_soon(publishing.of_run(again, store))
    summary.show(console, file, store, study.trials())
    if confirmation is not None:
        confirmation_text.show(console, confirmation, file.folder)
