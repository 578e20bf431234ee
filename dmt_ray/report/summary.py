"""What a sweep has found: the best settings, the table of trials, figures, and how to see and repeat it."""

import csv
import io
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dmt_ray.experiments import reuse
from dmt_ray.experiments.reproduce_sweep import Replay
from dmt_ray.experiments.sweep import Sweep, Trial, in_words, short
from dmt_ray.files import write_text
from dmt_ray.methods.space import as_text
from dmt_ray.plan import in_order
from dmt_ray.results.extra_metrics import columns, extra_metrics
from dmt_ray.results.scores import rung_score
from dmt_ray.search.study import executed
from dmt_ray.search.trial import SHARED
from dmt_ray.store import Store

CAVEAT = (
    "The score is on the validation images, and the best of many is flattered by the choice: "
    "run the settings again with fresh seeds before you report them (--confirm)."
)
GAMMAS = ("weight.gamma1", "weight.gamma2")


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Complete trials by score, then pruned ones by how far and how well they came, then the others."""
    order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}

    def place(trial: Trial) -> tuple[int, int, float, int]:
        # Complete trials have come to their ends, which may be different numbers of rungs.
        far = 0 if trial.state == "complete" else -len(trial.scores)
        return order[trial.state], far, -(trial.score or 0.0), trial.number

    return sorted(trials, key=place)


def best(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the highest score; a pruned one can never be the best."""
    first = ranked(trials)[:1]
    return first[0] if first and first[0].state == "complete" else None


def front(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials that no other one beats in both objectives, the cheapest first."""
    found: list[Trial] = []
    complete = [trial for trial in trials if trial.state == "complete" and trial.compute is not None]
    for trial in sorted(complete, key=lambda t: (t.compute or 0.0, -(t.score or 0.0), t.number)):
        if not found or (trial.score or 0.0) > (found[-1].score or 0.0):
            found.append(trial)
    return found


def reported(sweep: Sweep, store: Store, trial: Trial) -> float | None:
    """Score in [0, 1] on the test images after a complete trial's last rung, mean over seeds and models."""
    if trial.state != "complete":
        return None
    plans = sweep.plans(trial.params).values()
    return statistics.fmean(rung_score(store, plan.rungs[-1], "reported") for plan in plans)


def markdown(sweep: Sweep, store: Store, trials: Sequence[Trial], replay: Replay) -> str:
    """What came out so far, for a page that renders Markdown; "" as long as no trial is complete."""
    winner = best(trials)
    if winner is None or winner.score is None:
        return ""
    final = reported(sweep, store, winner)
    lines = [
        f"**Best: trial {winner.number}, {in_words(winner.params)}**: selection {sweep.score_name} {winner.score:.2%}"
        + ("" if final is None else f", reported {sweep.score_name} {final:.2%}")
        + f" after {sweep.rungs_of(winner.params) - 1} iterations."
    ]
    if sweep.second:
        lines.append("\n".join(f"- {_on_front(sweep, trial)}" for trial in front(trials)))
    return "\n\n".join([*lines, CAVEAT, f"```\n{replay.command(sweep, winner)}\n```"])


def write_csv(path: Path, sweep: Sweep, store: Store, trials: Sequence[Trial]) -> None:
    """One row a trial; scores and shares as fractions."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    steps = range(len(sweep.seeds) if sweep.seed_by_seed else sweep.rungs())
    names = [f"seed_{seed}" for seed in sweep.seeds] if sweep.seed_by_seed else [str(rung) for rung in steps]
    compute = ["optimizer_steps"] if sweep.second else []
    more = [*compute, *columns(sweep)]
    scores = [f"selection_{sweep.measure}_{name}" for name in names]
    final_name = f"reported_{sweep.measure}"
    table.writerow(["number", *sweep.space, "state", *scores, final_name, *more, "executed_stages", "error"])
    for trial in trials:
        final = reported(sweep, store, trial)
        found = {"optimizer_steps": trial.compute, **extra_metrics(sweep, store, trial)}
        table.writerow(
            [
                trial.number,
                *(trial.params.get(setting, "") for setting in sweep.space),
                trial.state,
                *(trial.scores.get(step, "") for step in steps),
                "" if final is None else final,
                *("" if found.get(name) is None else found[name] for name in more),
                len(trial.executed),
                trial.error or "",
            ]
        )
    write_text(path, text.getvalue())


def write_figures(folder: Path, sweep: Sweep, trials: Sequence[Trial]) -> list[Path]:
    """Every trial's score after each rung, and the score over what is searched: as a landscape of the two exponents."""
    from dmt_ray.report.figures import kit
    from dmt_ray.report.figures.slices import slices

    drawn = []
    if not sweep.seed_by_seed:
        curves = kit.curves([(f"trial {t.number}", t.scores, t.state) for t in trials], sweep.score_name)
        drawn.append(kit.save(curves, folder / "curves.png"))
    if tuple(sweep.space) == GAMMAS:
        points = [
            (float(t.params[GAMMAS[0]]), float(t.params[GAMMAS[1]]), t.score, t.state)
            for t in trials
            if len(t.params) == 2
        ]
        own = sweep.config.weight.numbers()
        landscape = kit.landscape(points, (own["gamma1"], own["gamma2"]), sweep.score_name)
        drawn.append(kit.save(landscape, folder / "landscape.png"))
    else:
        drawn.append(kit.save(slices(sweep.space, trials, sweep.score_name), folder / "slices.png"))
    return drawn


def count(sweep: Sweep, folder: Path, trials: Sequence[Trial]) -> str:
    """How many stages sharing has saved, in words."""
    wanted = 0
    for trial in trials:
        if len(trial.params) == len(sweep.space):
            wanted += len(in_order(sweep.targets(trial.params, len(trial.scores))))
    own = sum(len(trial.executed) for trial in trials)
    once = len(executed(folder, SHARED))
    return f"{wanted} were needed and {own + once} computed: {once} for all trials, {own} for one trial each"


def count_steps(sweep: Sweep, store: Store, folder: Path, trials: Sequence[Trial]) -> str:
    """The same in optimizer steps."""
    found = reuse.performed(sweep, store, folder, trials)
    return (
        f"{found.trials} trials needed {found.alone:,} optimizer steps one by one, {found.together:,} were executed "
        f"({found.share:.1%})"
    )


def show(console: Console, sweep: Sweep, store: Store, folder: Path, trials: Sequence[Trial], replay: Replay) -> None:
    """Print what the sweep has found, and write trials.csv and the figures."""
    write_csv(folder / "trials.csv", sweep, store, trials)
    drawn = write_figures(folder, sweep, trials) if trials else []
    console.print(_table(sweep, store, trials))
    winner = best(trials)
    if winner is not None and winner.score is not None:
        what = f"selection {sweep.score_name} {winner.score:.2%}"
        line(console, "best", f"trial {winner.number}: {in_words(winner.params)}, {what}")
        line(console, "", CAVEAT)
        line(console, "replay", replay.command(sweep, winner))
    for i, trial in enumerate(front(trials)):
        line(console, "" if i else "front", _on_front(sweep, trial))
    line(console, "stages", count(sweep, folder, trials))
    line(console, "steps", count_steps(sweep, store, folder, trials))
    line(console, "table", str(folder / "trials.csv"))
    for path in drawn:
        line(console, "figure", str(path))
    line(console, "UI", shlex.join(["dmt", "ui", "--storage", str(replay.storage)]))
    for trial in trials:
        if trial.state == "failed":
            line(console, "failed", f"trial {trial.number} ({in_words(trial.params)}): {trial.error}")
    if any(trial.state == "failed" for trial in trials):
        line(console, "why", shlex.join(["dmt", "why", folder.name, "--storage", str(replay.storage)]))


def line(console: Console, title: str, text: str) -> None:
    """Print a line that is not broken, so that it can be copied."""
    console.print(f"[bold]{title:<8}[/bold]", end=" ")
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _on_front(sweep: Sweep, trial: Trial) -> str:
    return (
        f"{trial.compute or 0.0:,.0f} optimizer steps: selection {sweep.score_name} {trial.score or 0.0:.2%}, "
        f"trial {trial.number}, {in_words(trial.params)}"
    )


def _table(sweep: Sweep, store: Store, trials: Sequence[Trial]) -> Table:
    table = Table(title=f"{sweep.name}, seeds {', '.join(map(str, sweep.seeds))}", title_justify="left")
    last = "seeds" if sweep.seed_by_seed else "rungs"
    compute = ["optimizer steps"] if sweep.second else []
    more = [f"{name.replace('_', ' ')} %" for name in columns(sweep)]
    scores = [f"{images} {sweep.score_name} %" for images in ("selection", "reported")]
    for title in ("trial", *map(short, sweep.space), "state", *scores, *compute, *more, last):
        table.add_column(title, justify="left" if title == "state" else "right")
    for trial in ranked(trials):
        final, found = reported(sweep, store, trial), extra_metrics(sweep, store, trial)
        table.add_row(
            str(trial.number),
            *(as_text(trial.params[setting]) if setting in trial.params else "" for setting in sweep.space),
            trial.state,
            _percent(trial.score),
            _percent(final),
            *(["" if trial.compute is None else f"{trial.compute:,.0f}"] if compute else []),
            *(_percent(found.get(name)) for name in columns(sweep)),
            _far(sweep, trial),
        )
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _far(sweep: Sweep, trial: Trial) -> str:
    """How far a trial has come: of its rungs, or of the seeds."""
    if sweep.seed_by_seed:
        return f"{len(trial.scores)}/{len(sweep.seeds)}"
    if trial.params.keys() != sweep.space.keys():
        return ""
    return f"{max(trial.scores, default=0)}/{sweep.rungs_of(trial.params) - 1}"
