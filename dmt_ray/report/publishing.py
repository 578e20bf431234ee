"""What MLflow shows of sweeps, ablations and runs: makes publications of them, for `dmt_ray.tracking`."""

import functools
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dmt_ray import tracking
from dmt_ray.config import Config, Settings
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.execution.journal import is_running
from dmt_ray.experiments import experiment_file, locate, reproduce
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.driver import State
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, short
from dmt_ray.experiments.trials import best as best_trial
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan import Plan, Stage, escape
from dmt_ray.plan.files import MODEL, weights_file
from dmt_ray.plan.key import key_of
from dmt_ray.report import confirmation, model_facts, run_files, summary
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.tables.text import markdown
from dmt_ray.report.titles import RULES
from dmt_ray.results import curves, names, tidy
from dmt_ray.results.curves import Point
from dmt_ray.store import Store
from dmt_ray.tracking import BestModel, Content, DataInput, Entry, Publication, Series
from dmt_ray.tracking.publication import CHILDREN, KIND, NAME, NOTE_LENGTH, ORDER, Status

log = logging.getLogger(__name__)

SECONDS = 600.0  # to publish one, which may have hundreds of runs with figures
MANY = 20  # ended trials from which on a sweep's figures are not drawn again for each further one
PACKAGES = ("dmt-ray", "torch", "segmentation-models-pytorch", "ray", "optuna", "mlflow")

STATUS: Mapping[str, Status] = {
    **dict.fromkeys(("running", "waiting"), "RUNNING"),
    **dict.fromkeys(("finished", "complete", "there"), "FINISHED"),
    **dict.fromkeys(("stopped", "pruned", "interrupted"), "KILLED"),
    "failed": "FAILED",
}
"""Of a sweep or an ablation, a trial, a cell -> as MLflow says it."""


# ---- everything in a storage folder ----------------------------------------------------------------------------


def publish_all(storage: Path, uri: str | None) -> tuple[str, ...]:
    """Publish all sweeps, ablations and runs in a storage folder; those still running elsewhere, as far as they are.

    Args:
        storage: The folder.
        uri: MLflow; None: in the storage folder.

    Returns:
        Names of those that MLflow still lacks.
    """
    tracker, publications = tracking.connect(uri, storage), list(everything(storage, Store(storage)))
    count = len(publications)
    for publication in publications:
        tracker.publish_soon(publication)
    left = tracker.close(timeout=SECONDS * (1 + count))
    print(f"{count - len(left)} of {count} sweeps, ablations and runs are published to {tracker.uri}")
    return left


def everything(storage: Path, store: Store) -> Iterator[Publication]:
    """All sweeps, ablations and runs in a storage folder, as far as they are, whichever process performs them."""
    for folder in locate.all_folders(storage):
        file = experiment_file.read(folder)
        if locate.is_ablation(folder):
            failed = experiment_file.read_failed(folder)
            lacking = store.missing(
                stage for wanted in file.ablation.members() for stage in _evaluations([wanted.plan])
            )
            complete = all(stage.name in failed for stage in lacking)
            yield of_ablation(folder, file, store, _state(folder, complete), failed)
        else:
            trials = read_trials(folder, file.sweep.name)
            complete = sum(trial.state != "running" for trial in trials) >= file.trials
            yield of_sweep(folder, file, store, _state(folder, complete), trials)
    for run in experiment_file.saved_runs(storage):
        yield of_run(run, store)


def _state(folder: Path, complete: bool) -> State:
    return "running" if is_running(folder) else "finished" if complete else "stopped"


def _evaluations(plans: Iterable[Plan]) -> list[Stage]:
    return [evaluation for plan in plans for rung in plan.rungs for evaluation in rung.values()]


# ---- what trials, cells of a table and single runs have in common ----------------------------------------------


@dataclass(frozen=True)
class _Member:
    """One method on its settings, for one seed or several, as far as its stages are stored."""

    store: Store
    method: str
    config: Config
    plans: Mapping[int, Plan]  # by seed
    info: DatasetInfo
    state: Sequence[object]  # what decides, beside the stored stages, what its run shows
    params: Mapping[str, object]  # beside the settings
    tags: Mapping[str, str | None]  # of its own
    command: str  # what performs it
    note: str = "Again:\n{command}"
    executed: frozenset[str] | None = None  # keys of the stages that were computed for it; None: all
    files: bool = True  # whether its artifacts are due
    finals: bool = True  # whether it is scored as a whole once all its rungs are
    best_model: Callable[[], BestModel] | None = None  # None: another run has it, or it is not trained yet

    def digest(self) -> str:
        """Changes whenever its run has more or something else to show."""
        stored = [unit.evaluation.key for unit in curves.units(self.plans) if self.store.has(unit.evaluation)]
        return key_of([*self.state, *stored])

    def start(self) -> int | None:
        """When its first stage began."""
        times = curves.span(self.store, self.plans, self.executed)
        return times[0] if times else None

    def content(self) -> Content:
        """All that its run shows."""
        times = curves.span(self.store, self.plans, self.executed)
        tags = _tags(self.method, self.config, self.plans, self.info) | _code_tags(self.store, self.plans.values())
        if self.executed is not None:
            stages = {stage for plan in self.plans.values() for stage in plan.stages() if self.store.has(stage)}
            reused = sum(stage.key not in self.executed for stage in stages)
            tags |= {"executed": str(len(self.executed)), "reused": str(reused)}
        tags |= {"command": self.command} if self.command else {}
        return Content(
            params=_params(self.config, method=self.method, **self.params),
            tags={**tags, **self.tags},
            note=self.note.format(command=escape.fenced(self.command)) if self.command else "",
            series=self._series(),
            write_files=self._write_files if self.files else None,
            end=times[1] if times else None,
            best_model=self.best_model,
            data=_data_input(self.config, self.plans, self.info),
        )

    def _write_files(self, folder: Path) -> None:
        run_files.write_run(folder, self.store, self.config, self.plans, self.executed, self.info)

    def _series(self) -> Iterator[Series]:
        """The metrics of what is stored: unit by unit, rung by rung, and as a whole."""
        store, plans = self.store, self.plans
        for unit in curves.units(plans):
            if store.has(unit.evaluation):
                points = functools.partial(curves.points, store, plans, unit, self.info)
                yield Series(unit.name, unit.evaluation.key, points)
        digest = ""
        for rung in range(min(len(plan.rungs) for plan in plans.values())):
            evaluations = [evaluation for plan in plans.values() for evaluation in plan.rungs[rung].values()]
            if not all(map(store.has, evaluations)):
                return
            digest = key_of([evaluation.key for evaluation in evaluations])
            yield Series(str(rung), digest, functools.partial(curves.rung_points, store, plans, rung))
        if self.finals:
            yield Series("finals", digest, functools.partial(curves.final_points, store, plans))


def _entry(
    name: str, identity: Mapping[str, str], status: Status, member: Callable[[], _Member], version: str = ""
) -> Entry:
    functions = (lambda: member().digest()), (lambda: member().content()), (lambda: member().start())
    return Entry(name, identity, status, *functions, version)


def _params(config: Config, **more: object) -> dict[str, str]:
    """All settings that are set, flat and dotted, except newer ones with their neutral value."""
    return {name: str(value) for name, value in more.items()} | dict(_flat(config, ""))


def _flat(settings: Settings, prefix: str) -> Iterable[tuple[str, str]]:
    plain = settings.model_dump(mode="json")
    for name, value in settings:
        if settings.is_neutral(name):
            continue
        if isinstance(value, Settings):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and value != "":
            text = plain[name]
            yield f"{prefix}{name}", text if isinstance(text, str) else json.dumps(text)


def _tags(method: str, config: Config, seeds: Iterable[int], info: DatasetInfo) -> dict[str, str]:
    """What a run is about."""
    splits = [info.splits[seed] for seed in seeds if seed in info.splits]
    tags = {"method": method, "recipe": config.recipe, "data": config.data.name}
    tags |= {"data.fingerprint": config.data.fingerprint} if config.data.fingerprint else {}
    if splits:
        tags |= {"split": ", ".join(name for name, _ in splits), "split.digest": ", ".join(d for _, d in splits)}
    return tags


def _data_input(config: Config, seeds: Iterable[int], info: DatasetInfo) -> DataInput | None:
    """The data of a run; None where their fingerprint is not known."""
    if not config.data.fingerprint:
        return None
    splits = [info.splits[seed] for seed in seeds if seed in info.splits]
    names, digests = (", ".join(parts) for parts in zip(*splits)) if splits else ("", "")
    facts = {"split": names, "split.digest": digests, "classes": ", ".join(info.classes)}
    return DataInput(config.data.name, config.data.fingerprint, {name: text for name, text in facts.items() if text})


def _code_tags(store: Store, plans: Iterable[Plan]) -> dict[str, str]:
    """Code and packages that produced the last evaluation of these plans, from its record."""
    evaluations = [stage for stage in _evaluations(plans) if store.has(stage)]
    made: Mapping[str, Any] = store.record(evaluations[-1]).made if evaluations else {}
    versions = made.get("versions", {})
    tags = {f"version.{name}": str(versions[name]) for name in PACKAGES if versions.get(name)}
    if git := made.get("git"):
        tags |= {"mlflow.source.git.commit": str(git["commit"]), "git.dirty": str(git["dirty"]).lower()}
    return tags | ({"device": str(made["device"])} if "device" in made else {})


# ---- a single run ----------------------------------------------------------------------------------------------


def of_run(file: ExperimentFile, store: Store) -> Publication:
    """What `dmt run` has performed."""
    run, info = file.run, DatasetInfo.from_json(file.dataset_info)
    plan = run.plan()
    plans, complete = {run.seed: plan}, all(map(store.has, _evaluations([plan])))
    facts = {"name": run.name, "method": run.method, "recipe": run.config.recipe, "command": info.command}
    member = _Member(
        store=store,
        method=run.method,
        config=run.config,
        plans=plans,
        info=info,
        state=["run", complete, "with its model"],
        params={"seed": run.seed},
        tags={},
        command=info.command,
        note="{command}",
        best_model=functools.partial(best_model, store, plans, info, **facts) if complete else None,
    )
    identity = {KIND: "run", NAME: run.name}
    return Publication(_entry(run.name, identity, "FINISHED" if complete else "RUNNING", lambda: member))


# ---- a sweep ---------------------------------------------------------------------------------------------------


def of_sweep(
    folder: Path, file: ExperimentFile, store: Store, state: State, trials: Sequence[Trial] | None = None
) -> Publication:
    """A sweep in its folder, as it is now.

    Args:
        state: "running" while the caller performs its trials; else a trial that still runs counts as interrupted.
        trials: The trials that have begun; None: those of its study.
    """
    trials = read_trials(folder, file.sweep.name) if trials is None else trials
    sweep, info = file.sweep, DatasetInfo.from_json(file.dataset_info)
    begun = [trial for trial in trials if trial.params.keys() == sweep.space.keys()]
    rows = [[_number(trial), trial.state, trial.error, sorted(trial.scores.items())] for trial in begun]

    @functools.cache
    def result() -> tuple[Trial | None, Mapping[str, float], str]:
        """The best trial, what it comes to, and the same in Markdown."""
        best = best_trial(begun)
        if best is None:
            return None, {}, ""
        try:
            finals = curves.finals(store, sweep.plans(best.params))
            parts = [summary.markdown(file, store, trials), confirmation.markdown(folder)]
        except (StoreError, MissingStages) as error:
            log.warning("the best trial of %s cannot be read (%s); start the sweep again.", sweep.name, error)
            return None, {}, ""
        return best, finals, "\n\n".join(part for part in parts if part)

    def content() -> Content:
        best, finals, text = result()
        plans = {} if best is None else sweep.plans(best.params)
        tags = _tags(sweep.method, sweep.config, sweep.seeds, info) | _code_tags(store, plans.values())
        tags |= {"command": info.command} if info.command else {}
        if best is not None:
            tags |= {"best.trial": str(best.number)}
            tags |= {f"best.{name}": _text(value, "g") for name, value in best.params.items()}
        # One point per number of finished trials: how the best so far has grown.
        step, times = sum(trial.state == "complete" for trial in begun), curves.span(store, plans)
        points = [Point(name, value, step, times[1] if times else 0) for name, value in finals.items()]

        def logged() -> BestModel:
            assert best is not None
            facts = {"name": f"{sweep.name} trial {best.number}", "method": sweep.method_of(best.params)}
            facts |= {"recipe": sweep.config.recipe, "command": reproduce.of_trial(file, best)}
            return best_model(store, plans, info, **facts)

        def write_files(folder: Path) -> None:
            run_files.write_config(folder / "config.yaml", sweep.config)
            summary.write_csv(folder / "trials.csv", sweep, store, begun)
            if begun:
                summary.write_figures(folder, sweep, begun)
            if plans:
                run_files.write_panel(folder / "best_panel.png", store, plans[sweep.seeds[0]], info)

        return Content(
            params=_params(sweep.config, method=sweep.method, seeds=_listed(sweep.seeds)),
            tags=tags,
            note=_sweep_note(sweep, trials, info, text, finals),
            series=[Series("", "", lambda: points)],
            write_files=write_files,
            files_digest=_figures_due(state, [row for row in rows if row[1] != "running"]),
            best_model=logged if best is not None and state == "finished" else None,
            data=_data_input(sweep.config, sweep.seeds, info),
        )

    def digest() -> str:
        return key_of([state, result()[2], info.command, rows])

    entry = Entry(sweep.name, {KIND: "sweep", NAME: sweep.name}, STATUS[state], digest, content)
    return Publication(entry, lambda: [_trial(file, info, store, trial, state) for trial in begun])


def _number(trial: Trial) -> str:
    """A trial's number, and its settings: a study that was begun anew counts from 0 again."""
    return f"{trial.number}-{key_of(trial.params)[:8]}"


def _trial(file: ExperimentFile, info: DatasetInfo, store: Store, trial: Trial, state: State) -> Entry:
    sweep, params = file.sweep, trial.params
    interrupted = trial.state == "running" and state != "running"
    status = "KILLED" if interrupted else STATUS[trial.state]

    @functools.cache
    def member() -> _Member:
        marks = {"pruned": trial.state == "pruned", "interrupted": interrupted}
        tags = {name: "true" if marked else None for name, marked in marks.items()}
        return _Member(
            store=store,
            method=sweep.method_of(params),
            config=sweep.config_of(params),
            plans=sweep.plans(params),
            info=info,
            state=[trial.state, interrupted, trial.error, len(trial.executed)],
            params={"seeds": _listed(sweep.seeds), "trial": trial.number},
            tags=tags | {"trial": str(trial.number), "error": trial.error if trial.state == "failed" else None},
            command=reproduce.of_trial(file, trial),
            executed=frozenset(trial.executed),
            files=status != "RUNNING",
            finals=trial.state == "complete",
        )

    # Changes whenever there is more to show: a stage of its own is done, a rung has a score, it ends.
    version = key_of([state == "running", trial.state, trial.error, len(trial.executed), len(trial.scores)])
    name = " ".join(f"{short(setting)}={_text(value, '.4g')}" for setting, value in params.items())
    identity = {KIND: "trial", NAME: sweep.name, "dmt.trial": _number(trial)}
    return _entry(name, identity, status, member, version)


def _sweep_note(
    sweep: Sweep, trials: Sequence[Trial], info: DatasetInfo, result: str, finals: Mapping[str, float]
) -> str:
    """The head of a sweep's page, in Markdown. The result comes first, as MLflow folds all but some lines."""
    states = Counter(trial.state for trial in trials)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    parts = [f"## {escape.markdown(sweep.title)}", f"{len(trials)} trials: {counts}." if trials else "No trials yet."]
    parts += [result] if result else []
    if finals:
        titles = {
            "score": "validation images, last iteration (what the search maximises)",
            "reported_last": "test images, last iteration",
            "reported_val": "test images, model and iteration selected on the validation images",
            "reported_paper": "test images, best model and iteration (the papers' protocol, biased upwards)",
        }
        head = [f"| score of the best trial | {sweep.score_name} |", "|---|---|"]
        parts.append(
            "\n".join([*head, *(f"| {title} | {100 * finals[name]:.2f} % |" for name, title in titles.items())])
        )
    ranges = escape.markdown(", ".join(f"{setting} {values}" for setting, values in sweep.space.items()))
    method, recipe = escape.markdown(sweep.method), escape.markdown(sweep.config.recipe)
    parts.append(f"Method {method}, recipe {recipe}, seeds {_listed(sweep.seeds)}; {ranges}.")
    parts += [f"The sweep:\n{escape.fenced(info.command)}"] if info.command else []
    iterations = f"iterations (`{sweep.measure}_...`)"
    parts.append(f"Metrics are fractions from 0 to 1. The step axis counts optimizer steps (`A/loss`) or {iterations}.")
    return "\n\n".join(parts)


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _text(value: float | str, spec: str) -> str:
    return value if isinstance(value, str) else format(value, spec)


def _figures_due(state: State, ended: Sequence[Any]) -> str:
    """Changes when a sweep's figures are due: when a trial has ended, and of many, when a twentieth more have."""
    if state == "running" and len(ended) > MANY:
        return key_of(["running", math.floor(math.log(len(ended) / MANY, 1.05))])
    return key_of([state == "running", *ended])


def best_model(store: Store, plans: Mapping[int, Plan], info: DatasetInfo, **facts: str) -> BestModel:
    """The model with the highest validation score of the plans' last rungs; `facts` are those of `ModelInfo`."""
    best = model_facts.best_of(store, plans)
    if best is None:
        raise MissingStages(f"no evaluation of {facts.get('name', 'the run')} is in the store any more")
    trained, config = best.inputs["model"], best.config
    file = weights_file(getattr(config, "member", "") or MODEL, averaged=getattr(config, "averaged", False))
    return BestModel(
        key=best.key,
        weights=lambda: store.open(trained, files=True) / file,
        info=lambda: model_facts.of_evaluation(store, best, plans.values(), info, **facts),
    )


# ---- an ablation -----------------------------------------------------------------------------------------------


class _Cell(NamedTuple):
    """A cell for one seed, as far as it has come."""

    run: Member
    order: str  # sorts the runs like the table: "03-1" is the third cell's second seed
    state: str  # a key of `STATUS`; "waiting": nothing of it is stored yet
    error: str  # why it failed; "" where it did not

    @property
    def identity(self) -> str:
        """What makes it this run and no other."""
        cell = self.run.cell
        settings = key_of([cell.row, cell.column, cell.method, cell.config.identity()])
        return f"{settings[:8]}-seed{self.run.seed}"


@dataclass(frozen=True)
class _Ablation:
    """An ablation as it is now; what of it is stored is looked up whenever it is needed."""

    folder: Path
    file: ExperimentFile
    store: Store
    state: State
    failed: Mapping[str, str]

    def cells(self) -> list[_Cell]:
        """All cells and seeds, in the order of the table."""
        ablation = self.file.ablation
        places = {(cell.row, cell.column): place for place, cell in enumerate(ablation.cells, 1)}
        width, digits = max(2, len(str(len(places)))), len(str(len(ablation.seeds) - 1))
        cells = [
            _Cell(one, f"{place:0{width}}-{ablation.seeds.index(one.seed):0{digits}}", *self._state(one.plan))
            for one in ablation.members()
            for place in [places[one.cell.row, one.cell.column]]
        ]
        return sorted(cells, key=lambda cell: cell.order)

    def _state(self, plan: Plan) -> tuple[str, str]:
        evaluations = _evaluations([plan])
        missing = self.store.missing(evaluations)
        errors = [self.failed[stage.name] for stage in missing if stage.name in self.failed]
        if errors or not missing:
            return ("failed", errors[0]) if errors else ("there", "")
        if not any(map(self.store.has, evaluations)):
            return "waiting", ""
        return ("running" if self.state == "running" else "interrupted"), ""

    def status(self) -> Status:
        """Its state for MLflow: failed if a cell is."""
        if self.state == "finished" and any(cell.state == "failed" for cell in self.cells()):
            return "FAILED"
        return STATUS[self.state]

    def digest(self) -> str:
        """Changes whenever the page has something else to show."""
        rows = [[cell.identity, cell.state, cell.error] for cell in self.cells()]
        return key_of([self.state, self.file.command, *rows])

    def children(self) -> list[Entry]:
        """The runs below the table."""
        best = self._best(self.cells())
        # Looked at anew: a stage that has just proved damaged counts as missing.
        return [self._child(cell, best.get(cell.identity, {})) for cell in self.cells()]

    def _best(self, cells: Sequence[_Cell]) -> dict[str, dict[int, Plan]]:
        """Of each row and column of a finished table, the run whose model is logged, and the plans that it is best of.

        The models of all runs would take the disk space of the store's once more.
        """
        groups: dict[tuple[str, str], list[_Cell]] = {}
        for cell in cells if self.state == "finished" else ():
            if cell.state == "there":
                groups.setdefault((cell.run.cell.row, cell.run.cell.column), []).append(cell)
        chosen = {}
        for group in groups.values():
            plans = {cell.run.seed: cell.run.plan for cell in group}
            best = model_facts.best_of(self.store, plans)
            for cell in group:
                if best in cell.run.plan.rungs[-1].values():
                    chosen[cell.identity] = plans
        return chosen

    def _child(self, cell: _Cell, best_of: Mapping[int, Plan]) -> Entry:
        """A run; `best_of`: the plans among which its model is the best; none: it is not."""
        (place, seed, plan), ablation = cell.run, self.file.ablation
        found = self.file.dataset_info_of(place)
        info = DatasetInfo() if found is None else DatasetInfo.from_json(found)
        where = {"row": place.row, "column": place.column}
        status, command = STATUS[cell.state], reproduce.of_member(self.file, cell.run)
        # As it stands in the table: "DMT · 1/20 · seed 0", the column only where there are several.
        name = " · ".join([place.row, *([place.column] if len(ablation.columns) > 1 else []), f"seed {seed}"])
        facts = {"name": f"{ablation.name} {name}", "method": place.method, "recipe": place.config.recipe}
        model = functools.partial(best_model, self.store, best_of, info, **facts, command=command)
        member = _Member(
            store=self.store,
            method=place.method,
            config=place.config,
            plans={seed: plan},
            info=info,
            state=[cell.order, cell.state, cell.error, *(["with its model"] if best_of else [])],
            params={"seed": seed, **where},
            tags={**where, "seed": str(seed), ORDER: cell.order, "state": cell.state, "error": cell.error or None},
            command=command,
            files=status != "RUNNING",
            best_model=model if best_of else None,
        )
        identity = {KIND: "cell", NAME: ablation.name, "dmt.cell": cell.identity}
        entry = _entry(name, identity, status, lambda: member, member.digest())
        return entry if cell.state != "waiting" else replace(entry, content=None)

    def content(self) -> Content:
        """The page of the table."""
        (table, means), ablation, cells = self._table(), self.file.ablation, self.cells()
        ends = {
            (cell.row, cell.column): times[1]
            for (cell, seed, plan), _, state, _ in cells
            if state == "there" and (times := curves.span(self.store, {seed: plan}))
        }

        def write_files(folder: Path) -> None:
            (folder / "table.md").write_text(table, encoding="utf-8")
            if len(means):
                shown = escape.cells(means.reset_index())
                shown.to_csv(folder / "means.csv", index=False, lineterminator="\n")

        tags = {"recipe": ablation.recipe, "seeds": _listed(ablation.seeds), "reference": ablation.reference}
        tags |= {"rows": ", ".join(ablation.rows), "columns": ", ".join(ablation.columns), "command": self.file.command}
        return Content(
            params={"recipe": ablation.recipe, "rows": str(len(ablation.rows))},
            tags=tags | _code_tags(self.store, [cell.run.plan for cell in cells]),
            note=self._note(cells, table),
            series=[Series("", "", lambda: list(_mean_points(means, ends)))],
            write_files=write_files,
            files_digest=key_of([self.state == "running", table, means["seeds"].reset_index().to_numpy().tolist()]),
        )

    def _table(self) -> tuple[str, pd.DataFrame]:
        """The table in Markdown, or why there is none, which must not keep the runs back; and its means."""
        means = pd.DataFrame({"seeds": []})
        try:
            frame = tidy.of_ablation(self.folder, self.store)
            means = _means(frame)
            return markdown_table(frame), means
        except (ValueError, StoreError, MissingStages) as error:
            log.warning("%s has no table yet: %s", self.file.ablation.name, error)
            return f"There is no table yet: {escape.markdown(str(error))}\n", means

    def _note(self, cells: Sequence[_Cell], table: str) -> str:
        """The head of the page, in Markdown: the question, the counts, the table, and how to compute it."""
        words = {"there": "complete", "waiting": "not begun"}
        states = Counter(words.get(cell.state, cell.state) for cell in cells)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        # The result early, as MLflow folds all but some lines.
        title = escape.markdown(self.file.ablation.title)
        start = f"## {title}\n\n{len(cells)} runs: {counts} ([in the order of the table]({CHILDREN}))."
        end = (
            f"\n\n{escape.fenced(self.file.command)}\n\nMetrics are fractions from 0 to 1; here `reported_last/DMT` is "
            "the mean of that row over its seeds. In the list of runs, the tag `order` sorts them like the table, and "
            "grouped by the tag `row` they show means."
        )
        rest = "\n\nThe whole table is among the artifacts, in `table.md`."
        return start + _beginning(table, NOTE_LENGTH - len(start) - len(end) - len(rest), rest) + end


def of_ablation(
    folder: Path, file: ExperimentFile, store: Store, state: State, failed: Mapping[str, str]
) -> Publication:
    """An ablation in its folder, as it is now.

    Args:
        state: "running" while the caller performs it; else what is begun and not complete counts as interrupted.
        failed: Name of a stage -> why it failed in the last start.
    """
    ablation, name = _Ablation(folder, file, store, state, failed), file.ablation.name
    entry = Entry(name, {KIND: "ablation", NAME: name}, ablation.status(), ablation.digest, ablation.content)
    # Rows that were left out, or have other settings now.
    return Publication(entry, ablation.children, {"state": "not in the table", ORDER: None})


def markdown_table(frame: pd.DataFrame) -> str:
    """The table of tidy records in Markdown.

    Raises:
        ValueError: If they cannot be put in a table.
    """
    return markdown(build(frame, paper=paper_numbers(frame.attrs["about"])))


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Row and column -> how many seeds, and for each rule mean and sample sd of the reported score in [0, 1]."""
    scores = tidy.scored(frame[frame["state"] == "there"], rule=None)
    by_rule = scores[scores["rule"].isin(RULES)].groupby(["row", "column", "rule"], sort=False)["value"]
    table = by_rule.agg(["mean", "std", "count"]).unstack("rule", sort=False)
    if not len(table):
        return pd.DataFrame({"seeds": []})
    columns = {f"reported_{rule}{end}": table[of, rule] for rule in RULES for of, end in (("mean", ""), ("std", "_sd"))}
    return pd.DataFrame({"seeds": table["count", "last"], **columns})


def _mean_points(means: pd.DataFrame, ends: Mapping[tuple[str, str], int]) -> Iterator[Point]:
    """ "reported_last/DMT" and the like; the step is the number of seeds, so that a curve shows how they settle."""
    several = len({column for _, column in means.index}) > 1
    columns, rows = (names.distinct((pair[at] for pair in means.index), names.metric) for at in (1, 0))
    for (row, column), values in zip(means.index, means.to_dict("records"), strict=True):
        name = f"{columns[column]}/{rows[row]}" if several else rows[row]
        for metric, value in values.items():
            if not math.isnan(value) and (row, column) in ends:
                yield Point(f"{metric}/{name}", value, int(values["seeds"]), ends[row, column])


def _beginning(table: str, room: int, rest: str) -> str:
    """As many paragraphs of a table as there is room for, without its title, and where the others are."""
    paragraphs = [part for part in table.strip().split("\n\n") if part and not part.startswith("# ")]
    count = sum(length <= room for length in accumulate(len(part) + 4 for part in paragraphs))
    whole = count == len(paragraphs)
    while count and not whole and paragraphs[count - 1].startswith("#"):
        count -= 1  # a title without what it is the title of
    text = "".join(f"\n\n{'#' if part.startswith('#') else ''}{part}" for part in paragraphs[:count])
    return text if whole else text + rest
