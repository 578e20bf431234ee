"""The outcome of a sweep: the best settings, the table of trials, figures, and how to view and reproduce it."""

import csv
import io
import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dmt_ray.execution.journal import SHARED, executed
from dmt_ray.experiments import reproduce, reuse
from dmt_ray.experiments.commands import runnable
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, in_words, short
from dmt_ray.experiments.trials import best, front, gaps_in_words, ranked, read_gaps
from dmt_ray.files import write_text
from dmt_ray.methods.space import as_text
from dmt_ray.plan import Stage, escape
from dmt_ray.plan.words import counted, numbered
from dmt_ray.report.titles import percent
from dmt_ray.results.extra_metrics import columns, extra_metrics
from dmt_ray.results.scores import rung_score
from dmt_ray.store import Store

CAVEAT = (
    "The score is on the validation images, and the best of many trials is biased upwards by selection: "
    "rerun these settings on fresh seeds before you report them (--confirm)."
)


def final_test_score(sweep: Sweep, store: Store, trial: Trial) -> float | None:
    """Score in [0, 1] on the test images after a complete trial's last rung, averaged over seeds and models."""
    if trial.state != "complete":
        return None
    plans = sweep.plans(trial.params).values()
    return statistics.fmean(rung_score(store, plan.rungs[-1], "reported") for plan in plans)


def markdown(file: ExperimentFile, store: Store, trials: Sequence[Trial]) -> str:
    """The outcome so far, for a page that renders Markdown; "" as long as no trial is complete."""
    sweep, winner = file.sweep, best(trials)
    if winner is None or winner.score is None:
        return ""
    final, name = final_test_score(sweep, store, winner), sweep.score_name
    settings = escape.markdown(in_words(winner.params))
    lines = [
        f"**Best: trial {winner.number}, {settings}**: validation {name} {winner.score:.2%}"
        + ("" if final is None else f", test {name} {final:.2%}")
        + f" after {counted(sweep.last_rung(winner.params), 'iteration')}."
    ]
    if sweep.second:
        lines.append("\n".join(f"- {escape.markdown(_on_front(sweep, trial))}" for trial in front(trials)))
    return "\n\n".join([*lines, CAVEAT, escape.fenced(reproduce.of_trial(file, winner))])


class Row(NamedTuple):
    """A trial in a table."""

    trial: Trial
    final: float | None  # see `final_test_score`
    extra: Mapping[str, float]  # extra metrics by column


def rows_of(sweep: Sweep, store: Store, trials: Iterable[Trial]) -> list[Row]:
    """The trials with what the store says of them. A thousand take seconds."""
    return [Row(one, final_test_score(sweep, store, one), extra_metrics(sweep, store, one)) for one in trials]


def write_csv(path: Path, sweep: Sweep, rows: Iterable[Row]) -> None:
    """One row per trial; scores and shares as fractions."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    steps = range(len(sweep.seeds) if sweep.seed_by_seed else sweep.last_rungs()[1] + 1)
    names = [f"seed_{seed}" for seed in sweep.seeds] if sweep.seed_by_seed else [str(rung) for rung in steps]
    more = [*(["optimizer_steps"] if sweep.second else []), *columns(sweep)]
    scores = [f"selection_{sweep.measure}_{name}" for name in names] + [f"reported_{sweep.measure}"]
    table.writerow(["number", *sweep.space, "state", *scores, *more, "executed_stages", "error"])
    for trial, final, extra in rows:
        known = {"optimizer_steps": trial.compute, **extra}
        row = [trial.number, *map(trial.params.get, sweep.space), trial.state, *map(trial.scores.get, steps)]
        row += [final, *map(known.get, more), len(trial.executed), trial.error]
        table.writerow(map(escape.cell, row))
    write_text(path, text.getvalue())


def write_figures(folder: Path, sweep: Sweep, trials: Sequence[Trial]) -> list[Path]:
    """Every trial's score after each rung, and the score over what is searched: as a landscape of the two exponents."""
    from dmt_ray.report.figures.drawing import of_trials  # matplotlib and scipy take a while to import
    from dmt_ray.report.figures.kit import save

    drawings = dict(of_trials(sweep, trials))
    if "landscape" in drawings:
        del drawings["slices"]
    return [save(draw(), folder / f"{name}.png") for name, draw in drawings.items()]


def count(stages: Sequence[Sequence[Stage]], folder: Path, trials: Sequence[Trial]) -> str:
    """The number of stages needed, those of `reuse.needed`, and of those computed, in words."""
    own = sum(len(trial.executed) for trial in trials)
    once = len(executed(folder, SHARED))
    all_needed = sum(map(len, stages))
    return (
        f"{all_needed:,} were needed and {own + once:,} computed: {once:,} for all trials, {own:,} for one trial each"
    )


def count_steps(stages: Sequence[Sequence[Stage]], store: Store, folder: Path, trials: Sequence[Trial]) -> str:
    """The same in optimizer steps."""
    steps = reuse.performed(stages, store, folder, trials)
    needed = f"{counted(steps.trials, 'trial')} would have needed {counted(steps.alone, 'optimizer step')} separately"
    return f"{needed}; {steps.together:,} were executed ({steps.share:.1%})"


def show(console: Console, file: ExperimentFile, store: Store, trials: Sequence[Trial]) -> None:
    """Print the outcome of a sweep, and write trials.csv and the figures."""
    sweep, folder = file.sweep, file.folder
    rows = rows_of(sweep, store, ranked(trials))
    write_csv(folder / "trials.csv", sweep, sorted(rows, key=lambda row: row.trial.number))
    drawn = write_figures(folder, sweep, trials) if trials else []
    console.print(_table(sweep, rows))
    if gaps := gaps_in_words(read_gaps(folder, sweep.name)):
        line(console, "numbers", gaps)
    winner = best(trials)
    if winner is not None and winner.score is not None:
        score = f"validation {sweep.score_name} {winner.score:.2%}"
        line(console, "best", f"trial {winner.number}: {in_words(winner.params)}, {score}")
        line(console, "", CAVEAT)
        line(console, "replay", runnable(reproduce.of_trial(file, winner)))
    for i, trial in enumerate(front(trials)):
        line(console, "" if i else "front", _on_front(sweep, trial))
    stages = reuse.needed(sweep, trials)
    line(console, "stages", count(stages, folder, trials))
    line(console, "steps", count_steps(stages, store, folder, trials))
    line(console, "table", str(folder / "trials.csv"))
    for path in drawn:
        line(console, "figure", str(path))
    line(console, "UI", runnable(shlex.join(["dmt", "ui", "--storage", str(file.storage)])))
    for trial in trials:
        if trial.state == "failed":
            line(console, "failed", f"trial {trial.number} ({in_words(trial.params)}): {trial.error}")
    if any(trial.state == "failed" for trial in trials):
        line(console, "why", runnable(shlex.join(["dmt", "why", folder.name, "--storage", str(file.storage)])))


def line(console: Console, title: str, text: str) -> None:
    """Print a line without wrapping it, so that it can be copied."""
    console.print(Text(f"{title:<8}", "bold"), end=" ")
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _on_front(sweep: Sweep, trial: Trial) -> str:
    return (
        f"{trial.compute or 0.0:,.0f} optimizer steps: validation {sweep.score_name} {trial.score or 0.0:.2%}, "
        f"trial {trial.number}, {in_words(trial.params)}"
    )


def _table(sweep: Sweep, rows: Iterable[Row]) -> Table:
    table = Table(title=f"{sweep.name}, {numbered(sweep.seeds, 'seed')}", title_justify="left")
    last = "seeds" if sweep.seed_by_seed else "rung"
    compute = ["optimizer steps"] if sweep.second else []
    more = [f"{name.replace('_', ' ')} %" for name in columns(sweep)]
    scores = [f"{images} {sweep.score_name} %" for images in ("validation", "test")]
    for title in ("trial", *map(short, sweep.space), "state", *scores, *compute, *more, last):
        table.add_column(title, justify="left" if title == "state" else "right")
    for trial, final, extra in rows:
        table.add_row(
            str(trial.number),
            *(as_text(trial.params[setting]) if setting in trial.params else "" for setting in sweep.space),
            trial.state,
            _percent(trial.score),
            _percent(final),
            *(["" if trial.compute is None else f"{trial.compute:,.0f}"] if compute else []),
            *(_percent(extra.get(name)) for name in columns(sweep)),
            progress_of(sweep, trial),
        )
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


def progress_of(sweep: Sweep, trial: Trial, of: str = "/") -> str:
    """How far a trial has come: its rung, of its last one, or the seeds that are done, of all; "2/5"."""
    if sweep.seed_by_seed:
        return f"{len(trial.scores)}{of}{len(sweep.seeds)}"
    if trial.params.keys() != sweep.space.keys():
        return ""
    return f"{max(trial.scores, default=0)}{of}{sweep.last_rung(trial.params)}"
