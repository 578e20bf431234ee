"""What trials, cells of a table and single runs have in common when they are published; and single runs."""

import functools
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmt_ray.config import Config, Settings
from dmt_ray.errors import MissingStages, UserError
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.methods import METHODS, own_weight
from dmt_ray.methods.reading import settings_read
from dmt_ray.plan import Plan, Stage, escape
from dmt_ray.plan.files import MODEL, weights_file
from dmt_ray.plan.key import key_of
from dmt_ray.report import html_page, model_facts, run_files
from dmt_ray.results import curves
from dmt_ray.results.curves import Point
from dmt_ray.store import Store
from dmt_ray.tracking import BestModel, Content, DataInput, Entry, Publication, Series
from dmt_ray.tracking.publication import KIND, NAME, Status

log = logging.getLogger(__name__)

NAMES = 2  # of metrics and tags; counts up when they change, and all is published anew
REPORT = "report.html"  # the page of a sweep or an ablation, among its files
PACKAGES = ("dmt-ray", "torch", "segmentation-models-pytorch", "ray", "optuna", "mlflow")
STATUS: Mapping[str, Status] = {
    **dict.fromkeys(("running", "waiting"), "RUNNING"),
    **dict.fromkeys(("finished", "complete", "there", "pruned"), "FINISHED"),
    **dict.fromkeys(("stopped", "interrupted"), "KILLED"),
    "failed": "FAILED",
}
"""Of a sweep or an ablation, a trial, a cell -> as MLflow says it."""


@dataclass(frozen=True)
class MemberRun:
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
    scores: Sequence[Point] = ()  # of its own, beside what its stages say
    best_model: Callable[[], BestModel] | None = None  # None: another run has it, or it is not trained yet

    def digest(self) -> str:
        """Changes whenever its run has more or something else to show."""
        stored = [unit.evaluation.key for unit in curves.units(self.plans) if self.store.has(unit.evaluation)]
        return key_of([NAMES, *self.state, *stored])

    def start(self) -> int | None:
        """When its first stage began."""
        times = curves.span(self.store, self.plans, self.executed)
        return times[0] if times else None

    def content(self) -> Content:
        """All that its run shows."""
        times = curves.span(self.store, self.plans, self.executed)
        tags = about_tags(self.method, self.config, self.plans, self.info) | code_tags(self.store, self.plans.values())
        if self.executed is not None:
            stages = {stage for plan in self.plans.values() for stage in plan.stages() if self.store.has(stage)}
            reused = sum(stage.key not in self.executed for stage in stages)
            tags |= {"executed": str(len(self.executed)), "reused": str(reused)}
        tags |= {"command": self.command} if self.command else {}
        return Content(
            params=params_of(self.method, self.config, self.params),
            tags={**tags, **self.tags},
            note=self.note.format(command=escape.fenced(self.command)) if self.command else "",
            series=self._series(),
            write_files=self._write_files if self.files else None,
            end=times[1] if times else None,
            best_model=self.best_model,
            data=data_input(self.config, self.plans, self.info),
        )

    def _write_files(self, folder: Path) -> None:
        run_files.write_run(folder, self.store, self.config, self.plans, self.executed, self.info)

    def _series(self) -> Iterator[Series]:
        """The metrics of what is stored: unit by unit, rung by rung, and as a whole."""
        store, plans = self.store, self.plans
        if self.scores:
            yield Series("scores", key_of([list(point) for point in self.scores]), lambda: self.scores)
        for unit in curves.units(plans):
            if store.has(unit.evaluation):
                points = functools.partial(curves.points, store, plans, unit)
                yield Series(unit.name, key_of([NAMES, unit.evaluation.key]), points)
        digest = ""
        for rung in range(min(len(plan.rungs) for plan in plans.values())):
            evaluations = [evaluation for plan in plans.values() for evaluation in plan.rungs[rung].values()]
            if not all(map(store.has, evaluations)):
                return
            digest = key_of([NAMES, *(evaluation.key for evaluation in evaluations)])
            yield Series(str(rung), digest, functools.partial(curves.rung_points, store, plans, rung, self.info))
        if self.finals:
            yield Series("finals", digest, functools.partial(curves.final_points, store, plans))


def entry_of(
    name: str, identity: Mapping[str, str], status: Status, member: Callable[[], MemberRun], version: str = ""
) -> Entry:
    """An entry whose content is made when it is needed."""
    functions = (lambda: member().digest()), (lambda: member().content()), (lambda: member().start())
    return Entry(name, identity, status, *functions, version)


def params_of(method: str, config: Config, more: Mapping[str, object], without: Collection[str] = ()) -> dict[str, str]:
    """The settings that a method reads, flat and dotted, except newer ones with their neutral value.

    Args:
        method: A name in `METHODS`. Where it has a weight rule of its own, that rule is shown.
        config: All settings.
        more: What is shown beside them.
        without: Dotted settings, or groups of them, that are left out.
    """
    read = settings_read(METHODS[method], config) | {"recipe"}
    shown = config.evolve(weight=own_weight(METHODS[method], config)) if "weight" in read else config
    own = {
        name: text
        for name, text in _flat(shown, "")
        if name.partition(".")[0] in read and not any(f"{name}.".startswith(f"{other}.") for other in without)
    }
    return {name: str(value) for name, value in more.items()} | own | {"method": method}


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


def write_page(folder: Path, file: Path) -> None:
    """Write the page of a sweep or an ablation, as `dmt report` does; one that cannot be made keeps nothing back."""
    try:
        html_page.write(folder, file)
    except (UserError, ValueError) as error:
        log.warning("the page of %s is not published: %s", folder.name, error)


def listed(seeds: Iterable[int]) -> str:
    """Seeds for people."""
    return ", ".join(map(str, seeds))


def about_tags(method: str, config: Config, seeds: Iterable[int], info: DatasetInfo) -> dict[str, str]:
    """What a run is about."""
    splits = [info.splits[seed] for seed in seeds if seed in info.splits]
    tags = {"method": method, "recipe": config.recipe, "data": config.data.name}
    tags |= {"data.fingerprint": config.data.fingerprint} if config.data.fingerprint else {}
    if splits:
        tags |= {"split": ", ".join(name for name, _ in splits), "split.digest": ", ".join(d for _, d in splits)}
    return tags


def data_input(config: Config, seeds: Iterable[int], info: DatasetInfo) -> DataInput | None:
    """The data of a run; None where their fingerprint is not known."""
    if not config.data.fingerprint:
        return None
    splits = [info.splits[seed] for seed in seeds if seed in info.splits]
    names, digests = (", ".join(parts) for parts in zip(*splits)) if splits else ("", "")
    facts = {"split": names, "split.digest": digests, "classes": ", ".join(info.classes)}
    return DataInput(config.data.name, config.data.fingerprint, {name: text for name, text in facts.items() if text})


def code_tags(store: Store, plans: Iterable[Plan]) -> dict[str, str]:
    """Code and packages that produced the last evaluation of these plans, from its record."""
    evaluations = [stage for stage in evaluations_of(plans) if store.has(stage)]
    made: Mapping[str, Any] = store.record(evaluations[-1]).made if evaluations else {}
    versions = made.get("versions", {})
    tags = {f"version.{name}": str(versions[name]) for name in PACKAGES if versions.get(name)}
    if git := made.get("git"):
        tags |= {"mlflow.source.git.commit": str(git["commit"]), "git.dirty": str(git["dirty"]).lower()}
    return tags | ({"device": str(made["device"])} if "device" in made else {})


def evaluations_of(plans: Iterable[Plan]) -> list[Stage]:
    """The evaluations of all rungs of some plans."""
    return [evaluation for plan in plans for rung in plan.rungs for evaluation in rung.values()]


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


def of_run(file: ExperimentFile, store: Store) -> Publication:
    """What `dmt run` has performed."""
    run, info = file.run, DatasetInfo.from_json(file.dataset_info)
    plan = run.plan()
    plans, complete = {run.seed: plan}, all(map(store.has, evaluations_of([plan])))
    facts = {"name": run.name, "method": run.method, "recipe": run.config.recipe, "command": info.command}
    member = MemberRun(
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
    return Publication(entry_of(run.name, identity, "FINISHED" if complete else "RUNNING", lambda: member))
