"""A sweep and its trials, as they are published."""

import functools
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dmt_ray.config.derived import DERIVED
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.experiments import reproduce
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.dimensions import made
from dmt_ray.experiments.driver import State
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, score_of, short
from dmt_ray.experiments.trials import best as best_trial
from dmt_ray.experiments.trials import read_trials
from dmt_ray.methods.space import Choice, as_text
from dmt_ray.plan import escape
from dmt_ray.plan.key import key_of
from dmt_ray.plan.words import counted, numbered
from dmt_ray.report import confirmation, run_files, summary
from dmt_ray.report.publishing.members import (
    NAMES,
    REPORT,
    STATUS,
    MemberRun,
    about_tags,
    best_model,
    code_tags,
    data_input,
    entry_of,
    listed,
    params_of,
    write_page,
)
from dmt_ray.results import curves
from dmt_ray.results.curves import Point
from dmt_ray.store import Store
from dmt_ray.tracking import BestModel, Content, Entry, Publication, Series, View
from dmt_ray.tracking.publication import CHARTS, CHILDREN, FILES, KIND, NAME

log = logging.getLogger(__name__)

MANY = 20  # ended trials from which on a sweep's figures are not drawn again for each further one


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
        tags = about_tags(sweep.method, sweep.config, sweep.seeds, info) | code_tags(store, plans.values())
        tags |= {"state": state, **({"command": info.command} if info.command else {})}
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

        def write_files(out: Path) -> None:
            run_files.write_config(out / "config.yaml", sweep.config)
            summary.write_csv(out / "trials.csv", sweep, summary.rows_of(sweep, store, begun))
            if begun:
                summary.write_figures(out, sweep, begun)
            if state != "running":
                write_page(folder, out / REPORT)
            if plans:
                run_files.write_panel(out / "best_panel.png", store, plans[sweep.seeds[0]], info)

        return Content(
            params=params_of(sweep.method, sweep.config, {"seeds": listed(sweep.seeds)}, made(sweep.space)),
            tags=tags,
            note=_sweep_note(sweep, trials, info, text, finals, state),
            series=[Series("", "", lambda: points)],
            write_files=write_files,
            files_digest=_figures_due(state, [row for row in rows if row[1] != "running"]),
            best_model=logged if best is not None and state == "finished" else None,
            data=data_input(sweep.config, sweep.seeds, info),
        )

    def digest() -> str:
        return key_of([NAMES, state, result()[2], info.command, rows])

    entry = Entry(sweep.name, {KIND: "sweep", NAME: sweep.name}, STATUS[state], digest, content)
    children = lambda: [_trial(file, info, store, trial, state) for trial in begun]  # noqa: E731
    return Publication(entry, children, view=_view(sweep))


def _view(sweep: Sweep) -> View:
    """The trials by their score, with what was searched."""
    columns = [("metrics", "score"), ("tags", "state"), ("tags", "rung"), *(("params", name) for name in sweep.space)]
    numbers = [name for name, values in sweep.space.items() if not isinstance(values, Choice)]
    return View(columns, ("metrics", "score"), False, "score", list(sweep.space), numbers)


def _number(trial: Trial) -> str:
    """A trial's number, and its settings: a study that was begun anew counts from 0 again."""
    return f"{trial.number}-{key_of(trial.params)[:8]}"


def _trial(file: ExperimentFile, info: DatasetInfo, store: Store, trial: Trial, state: State) -> Entry:
    sweep, params = file.sweep, trial.params
    interrupted = trial.state == "running" and state != "running"
    status = "KILLED" if interrupted else STATUS[trial.state]

    @functools.cache
    def member() -> MemberRun:
        tags: dict[str, str | None] = {"state": "interrupted" if interrupted else trial.state}
        tags |= {"rung": summary.progress_of(sweep, trial), "trial": str(trial.number)}
        tags |= {"error": trial.error if trial.state == "failed" else None}
        tags |= dict.fromkeys(("pruned", "interrupted"))  # of earlier versions
        derived = {name: as_text(value) for name, value in params.items() if name in DERIVED}
        return MemberRun(
            store=store,
            method=sweep.method_of(params),
            config=sweep.config_of(params),
            plans=sweep.plans(params),
            info=info,
            state=[trial.state, interrupted, trial.error, len(trial.executed)],
            params={"seeds": listed(sweep.seeds), "trial": trial.number, **derived},
            tags=tags,
            command=reproduce.of_trial(file, trial),
            executed=frozenset(trial.executed),
            files=status != "RUNNING",
            finals=trial.state == "complete",
            scores=list(_scores(sweep, store, trial)),
        )

    # Changes whenever there is more to show: a stage of its own is done, a rung has a score, it ends.
    version = key_of([NAMES, state == "running", trial.state, trial.error, len(trial.executed), len(trial.scores)])
    name = " ".join(f"{short(setting)}={_text(value, '.4g')}" for setting, value in params.items())
    identity = {KIND: "trial", NAME: sweep.name, "dmt.trial": _number(trial)}
    return entry_of(name, identity, status, member, version)


def _scores(sweep: Sweep, store: Store, trial: Trial) -> Iterator[Point]:
    """The score that is maximised, after each step that a trial came to."""
    steps = sweep.steps(trial.params)
    for last in sorted(trial.scores):
        evaluations = [stage for group in steps[last] for plan, rung in group for stage in plan.targets(rung)]
        if all(map(store.has, evaluations)):
            reached = {step: score for step, score in trial.scores.items() if step <= last}
            when = max(curves.ended(store, stage) for stage in evaluations)
            yield Point("score", score_of(reached, sweep.seed_by_seed), last, when)


def _sweep_note(
    sweep: Sweep, trials: Sequence[Trial], info: DatasetInfo, result: str, finals: Mapping[str, float], state: State
) -> str:
    """The head of a sweep's page, in Markdown. The result comes first, as MLflow folds all but some lines."""
    states = Counter(trial.state for trial in trials)
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
    links = f"[by score]({CHILDREN}), [as charts]({CHARTS})"
    links += f", [report]({FILES}/{REPORT})" if state != "running" else ""
    count = counted(len(trials), "trial")
    parts = [f"## {escape.markdown(sweep.title)}", f"{count}{': ' * bool(counts)}{counts} ({links})."]
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
    parts.append(f"Method {method}, recipe {recipe}, {numbered(sweep.seeds, 'seed')}; {ranges}.")
    parts += [f"The sweep:\n{escape.fenced(info.command)}"] if info.command else []
    parts.append(
        "Metrics are fractions from 0 to 1. The step axis counts iterations, or optimizer steps (`loss` and `other`)."
    )
    return "\n\n".join(parts)


def _text(value: float | str, spec: str) -> str:
    return value if isinstance(value, str) else format(value, spec)


def _figures_due(state: State, ended: Sequence[Any]) -> str:
    """Changes when a sweep's figures are due: when a trial has ended, and of many, when a twentieth more have."""
    if state == "running" and len(ended) > MANY:
        return key_of(["running", math.floor(math.log(len(ended) / MANY, 1.05))])
    return key_of([state == "running", *ended])
