"""What a sweep has found: the best settings, the table of trials, figures, and how to see and repeat it."""

import csv
import io
import os
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dmt_ray.plan import Stage, in_order
from dmt_ray.records import rung_score
from dmt_ray.search.replay import Replay
from dmt_ray.search.study import executed
from dmt_ray.search.sweep import Params, Sweep, Trial, short
from dmt_ray.search.trial import SHARED
from dmt_ray.store import Store

CAVEAT = (
    "The score is on the images that select, and the best of many is flattered by the choice: "
    "run the settings again with fresh seeds before you report them."
)
GAMMAS = ("weight.gamma1", "weight.gamma2")


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Complete trials by score, then pruned ones by how far and how well they came, then the others."""
    order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}
    return sorted(trials, key=lambda t: (order[t.state], -len(t.scores), -(t.score or 0.0), t.number))


def best(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the highest score on its last rung; a pruned one can never be the best."""
    first = ranked(trials)[:1]
    return first[0] if first and first[0].state == "complete" else None


def reported(sweep: Sweep, store: Store, trial: Trial) -> float | None:
    """mIoU in [0, 1] on the reported images after a complete trial's last rung, mean over seeds and models."""
    if trial.state != "complete":
        return None
    plans = sweep.plans(trial.params).values()
    return statistics.fmean(rung_score(store, plan.rungs[-1], "reported") for plan in plans)


def in_words(params: Params) -> str:
    """A point for people: "gamma1=5 gamma2=2.5"."""
    return " ".join(f"{short(setting)}={value:g}" for setting, value in params.items())


def markdown(sweep: Sweep, store: Store, trials: Sequence[Trial], replay: Replay) -> str:
    """What came out so far, for a page that renders Markdown; "" as long as no trial is complete."""
    winner = best(trials)
    if winner is None or winner.score is None:
        return ""
    final = reported(sweep, store, winner)
    return (
        f"**Best: trial {winner.number}, {in_words(winner.params)}**: selection mIoU {winner.score:.2%}"
        + ("" if final is None else f", reported mIoU {final:.2%}")
        + f" after {len(winner.scores) - 1} iterations.\n\n{CAVEAT}\n\n```\n{replay.command(sweep, winner)}\n```"
    )


def write_csv(path: Path, sweep: Sweep, store: Store, trials: Sequence[Trial]) -> None:
    """One row a trial; mIoU as fractions."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    rungs = range(sweep.rungs())
    scores = [f"selection_miou_{rung}" for rung in rungs]
    table.writerow(["number", *sweep.space, "state", *scores, "reported_miou", "executed_stages", "error"])
    for trial in trials:
        final = reported(sweep, store, trial)
        table.writerow(
            [
                trial.number,
                *(trial.params.get(setting, "") for setting in sweep.space),
                trial.state,
                *(trial.scores.get(rung, "") for rung in rungs),
                "" if final is None else final,
                len(trial.executed),
                trial.error or "",
            ]
        )
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text.getvalue(), encoding="utf-8")
    os.replace(aside, path)


def write_figures(folder: Path, sweep: Sweep, trials: Sequence[Trial]) -> list[Path]:
    """Score over the two exponents, where they are what is searched, and every trial's score after each rung."""
    from dmt_ray import figures

    drawn = [
        figures.save(figures.curves([(f"trial {t.number}", t.scores, t.state) for t in trials]), folder / "curves.png")
    ]
    if tuple(sweep.space) == GAMMAS:
        points = [(t.params[GAMMAS[0]], t.params[GAMMAS[1]], t.score, t.state) for t in trials if len(t.params) == 2]
        own = sweep.config.weight
        drawn.append(figures.save(figures.landscape(points, (own.gamma1, own.gamma2)), folder / "landscape.png"))
    return drawn


def count(sweep: Sweep, folder: Path, trials: Sequence[Trial]) -> str:
    """How much work sharing has saved, in words."""
    wanted: list[Stage] = []
    for trial in trials:
        for plan in sweep.plans(trial.params).values() if len(trial.params) == len(sweep.space) else ():
            wanted += in_order(stage for rung in plan.rungs[: len(trial.scores)] for stage in rung.values())
    own = sum(len(trial.executed) for trial in trials)
    once = len(executed(folder, SHARED))
    return f"{len(wanted)} were needed and {own + once} computed: {once} for all trials, {own} for one trial each"


def show(console: Console, sweep: Sweep, store: Store, folder: Path, trials: Sequence[Trial], replay: Replay) -> None:
    """Print what the sweep has found, and write trials.csv and the figures."""
    write_csv(folder / "trials.csv", sweep, store, trials)
    drawn = write_figures(folder, sweep, trials) if trials else []
    console.print(_table(sweep, store, trials))
    winner = best(trials)
    if winner is not None and winner.score is not None:
        _line(console, "best", f"trial {winner.number}: {in_words(winner.params)}, selection mIoU {winner.score:.2%}")
        _line(console, "", CAVEAT)
        _line(console, "replay", replay.command(sweep, winner))
    _line(console, "stages", count(sweep, folder, trials))
    _line(console, "table", str(folder / "trials.csv"))
    for path in drawn:
        _line(console, "figure", str(path))
    _line(console, "UI", shlex.join(["dmt", "ui", "--storage", str(replay.storage)]))
    for trial in trials:
        if trial.state == "failed":
            _line(console, "failed", f"trial {trial.number} ({in_words(trial.params)}): {trial.error}")
    if any(trial.state == "failed" for trial in trials):
        _line(console, "why", shlex.join(["dmt", "why", folder.name, "--storage", str(replay.storage)]))


def _line(console: Console, title: str, text: str) -> None:
    console.print(f"[bold]{title:<8}[/bold]", end=" ")
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(sweep: Sweep, store: Store, trials: Sequence[Trial]) -> Table:
    table = Table(title=f"{sweep.name}, seeds {', '.join(map(str, sweep.seeds))}", title_justify="left")
    for title in ("trial", *map(short, sweep.space), "state", "selection mIoU %", "reported mIoU %", "rungs"):
        table.add_column(title, justify="left" if title == "state" else "right")
    last = sweep.rungs() - 1
    for trial in ranked(trials):
        final = reported(sweep, store, trial)
        table.add_row(
            str(trial.number),
            *(f"{trial.params[setting]:g}" if setting in trial.params else "" for setting in sweep.space),
            trial.state,
            "" if trial.score is None else f"{100 * trial.score:.2f}",
            "" if final is None else f"{100 * final:.2f}",
            f"{max(trial.scores, default=0)}/{last}",
        )
    return table
