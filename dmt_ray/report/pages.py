"""What a page about an ablation or a sweep holds."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from dmt_ray.config import Config
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.diagnose import diagnose
from dmt_ray.experiments.sweep import Sweep, Trial, short
from dmt_ray.experiments.trials import STUDY, best, gaps_in_words, ranked, read_gaps, read_trials
from dmt_ray.methods.space import as_text
from dmt_ray.plan.words import be, counted
from dmt_ray.report import answers
from dmt_ray.report.explore import explore
from dmt_ray.report.figures.drawing import AblationFigures, Drawing, of_sweep
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.summary import CAVEAT, progress_of
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.caption import sources
from dmt_ray.report.tables.files import further_metrics
from dmt_ray.report.tables.grid import Block, Cell
from dmt_ray.report.tables.metrics import of_each_class
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.titles import COLUMNS, IMAGES, METRICS_OF, NONE, RULES, in_units, percent
from dmt_ray.results import tidy
from dmt_ray.store import Store

MANY = 50  # trials that are listed
SHOWN: Mapping[str, str] = {"running": "not complete"}  # states of trials that people know by another name


@dataclass(frozen=True)
class Page:
    """The content of a report."""

    title: str  # the question
    answer: Sequence[str]  # what was found, with its interval and what it cost, a sentence each
    lead: str  # what it is, and how far it has come, in a sentence or two
    command: str  # what computes it
    tables: Sequence[Block]  # grids of numbers
    caption: Sequence[str]  # what they mean
    per_class: Sequence[Block]  # grids of the scores of each class; of a sweep, of its best trial
    drawings: Iterable[Drawing]  # figures, each drawn when it is needed; the first is shown first
    explored: Sequence[str]  # what can be hovered and brushed, as parts of a page
    wrong: str  # what went wrong, as `dmt why` prints it
    made_from: Sequence[str]  # data, splits, code and packages
    settings: dict[str, str]  # title -> settings


# ---- an ablation -----------------------------------------------------------------------------------------------


def page_of_ablation(folder: Path) -> Page:
    """The page of an ablation in its folder."""
    file, frame = experiment_file.read(folder), tidy.of_ablation(folder)
    ablation = file.ablation
    complete = len(frame[frame["state"] == "there"][["row", "column", "seed"]].drop_duplicates())
    try:
        further = further_metrics(frame, ["all"]) if complete else []
        table = build(frame, paper=paper_numbers(frame.attrs["about"]), metrics=further)
        blocks, caption, footer = table.blocks, table.caption, table.footer
        classes = build(frame, per_class=True).blocks if complete else ()
    except ValueError as error:
        blocks, caption, footer, classes = (), (f"There is no table: {error}",), (), ()
    several = len(ablation.columns) > 1
    reference = next(cell.config for cell in ablation.cells if cell.row == ablation.reference)
    names = [cell.row + f", {cell.column}" * several for cell in ablation.cells]
    texts = [f"{cell.method}  {' '.join(cell.changes)}".strip() for cell in ablation.cells]
    changed = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    rows = counted(len(ablation.rows), "row") + f" in {len(ablation.columns)} columns" * several
    seeds, runs = counted(len(ablation.seeds), "seed"), counted(len(list(ablation.members())), "run")
    return Page(
        title=ablation.title,
        answer=answers.of_ablation(frame, ablation, Store(folder.parents[1])),
        lead=f"{ablation.name}: {rows}, {'at most ' * bool(ablation.looks)}{seeds}; {complete:,} of {runs} "
        f"{be(complete)} complete.",
        command=file.command,
        tables=blocks,
        caption=caption,
        per_class=[block for block in classes if "of each class" in block.title],
        drawings=AblationFigures(folder, Predictor(folder.parents[1], file.data, "cpu", computes=False)).drawings(),
        explored=(),
        wrong=diagnose(folder).text(),
        made_from=footer,
        settings={
            f"{ablation.reference}, all settings": _yaml(reference),
            "Every row: its method, and what it changes": "\n".join(changed),
        },
    )


# ---- a sweep ---------------------------------------------------------------------------------------------------


def page_of_sweep(folder: Path) -> Page:
    """The page of a sweep in its folder."""
    file, frame = experiment_file.read(folder), tidy.of_sweep(folder)
    sweep, origin = file.sweep, frame.attrs["about"]
    trials = read_trials(folder, sweep.name)
    board = ranked([trial for trial in trials if trial.params.keys() == sweep.space.keys()])
    states = Counter(SHOWN.get(trial.state, trial.state) for trial in board)
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
    caption = [
        f"Trials by the score that the search maximises: {sweep.score_name} on the validation images, mean over "
        f"models and seeds ({', '.join(map(str, sweep.seeds))}); of a trial that was stopped, that of the last "
        f"{'seed' if sweep.seed_by_seed else 'rung'} that it came to, and such trials come after the complete ones. "
        "The other columns are on the test images, under the three rules.",
        CAVEAT,
    ]
    if gaps := gaps_in_words(read_gaps(folder, sweep.name)):
        caption.append(f"Of the numbers of trials, {gaps}.")
    winner = best(trials)
    if winner is not None:
        commands = dict(zip(frame["trial"].unique(), origin["commands"], strict=True))
        caption.append(f"To reproduce the best trial: {commands[winner.number][2]}")
    return Page(
        title=sweep.title,
        answer=answers.of_sweep(folder, frame, sweep, trials),
        lead=f"{sweep.name}: {counted(file.trials, 'trial')} of {sweep.method}, of which {counts or 'none is begun'}.",
        command=origin["command"],
        tables=[_leaderboard(sweep, board, frame)] if board else [],
        caption=caption,
        per_class=[] if winner is None else list(_of_trial(frame, winner.number)),
        drawings=of_sweep(folder) if (folder / STUDY).exists() else (),
        explored=explore(sweep, trials),
        wrong=diagnose(folder).text(),
        made_from=list(sources(frame)),
        settings={
            "What is searched": "\n".join(f"{setting}: {values}" for setting, values in origin["space"].items()),
            "All other settings": _yaml(sweep.config),
        },
    )


def _leaderboard(sweep: Sweep, board: Sequence[Trial], frame: pd.DataFrame) -> Block:
    """The trials, the best first: score, how far they came, state and settings, and test scores by rule."""
    means = tidy.scored(frame, rule=None).groupby(["trial", "rule"])["value"].mean().unstack()
    rules = {rule: title for rule, title in COLUMNS.items() if rule in RULES or rule in means}
    step = "seeds" if sweep.seed_by_seed else "rung"
    rows = []
    for trial in board[:MANY]:
        far = progress_of(sweep, trial, " of ") if trial.scores else NONE
        texts = [str(trial.number), NONE if trial.score is None else percent(trial.score), far]
        texts += [NONE if trial.compute is None else f"{trial.compute:,.0f}"] if sweep.second else []
        texts += [SHOWN.get(trial.state, trial.state), *(as_text(trial.params[setting]) for setting in sweep.space)]
        scores = [means[rule].get(trial.number) if rule in means else None for rule in rules]
        texts += [NONE if score is None or pd.isna(score) else percent(float(score)) for score in scores]
        rows.append(tuple(map(Cell, texts)))
    compute = ["optimizer steps"] if sweep.second else []
    header = ("trial", "validation score", step, *compute, "state", *map(short, sweep.space), *rules.values())
    notes = (f"The best {MANY} of {len(board):,} trials.",) if len(board) > MANY else ()
    return Block(f"{sweep.score_name} (%)", header, tuple(rows), notes)


def _of_trial(frame: pd.DataFrame, trial: int) -> Iterator[Block]:
    """All metrics of a trial after its last rung, and the scores of every class."""
    own = frame[(frame["trial"] == trial) & (frame["rule"] == "last")]
    header, title = ("", *(f"{images} images" for images in IMAGES.values())), f"trial {trial} after its last iteration"
    metrics = [metric for metric in METRICS_OF[tidy.headline(frame)] if (own["metric"] == metric).any()]
    rows = tuple(_line(own, metric, in_units(metric)) for metric in metrics)
    yield Block(f"Scores, {title}", header, rows)
    start, name = of_each_class(frame)
    classes = [str(metric) for metric in dict.fromkeys(own["metric"]) if str(metric).startswith(start)]
    rows = tuple(_line(own, metric, metric.removeprefix(start)) for metric in classes)
    yield Block(f"{name} (%) of each class, {title}", header, rows)


def _line(own: pd.DataFrame, metric: str, title: str) -> tuple[Cell, ...]:
    """A metric on the validation images and on the test images, mean over seeds."""
    lines = own[own["metric"] == metric]
    values = [lines[lines["images"] == images]["value"].tolist() for images in IMAGES]
    return tuple(map(Cell, (title, *(percent(statistics.fmean(group)) if group else NONE for group in values))))


def _yaml(config: Config) -> str:
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)).rstrip()
