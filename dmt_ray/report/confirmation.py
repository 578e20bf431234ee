"""The confirmation of a sweep, for people: the best trial and the recipe on fresh seeds, side by side."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dmt_ray.errors import StoreError
from dmt_ray.experiments.sweep import in_words
from dmt_ray.files import read_json
from dmt_ray.plan import escape
from dmt_ray.plan.measures import MEASURES
from dmt_ray.plan.words import numbered
from dmt_ray.report.summary import line
from dmt_ray.report.titles import IMAGES, mean_text, would_do
from dmt_ray.search.confirm import NAME, Confirmation, measure_of, scores_of

# Which scores are shown: images, and whether on the seeds of the search.
SHOWN = (("selection", True), ("selection", False), ("reported", False))


def difference_text(content: dict[str, Any]) -> str:
    """The differences on the fresh seeds, in a sentence.

    Args:
        content: What confirm.json holds.
    """
    if not content["difference"]:
        return "the best trial is the recipe itself, so there is nothing to compare"
    parts = []
    for images, difference in content["difference"].items():
        interval = "no interval from one seed"
        if difference["low"] is not None:
            kind = "95 % interval of all looks" if "looks" in content else "95 % t interval"
            interval = f"{kind} [{100 * difference['low']:+.2f}, {100 * difference['high']:+.2f}]"
        parts.append(f"{IMAGES[images]} {100 * difference['mean']:+.2f}, {interval}")
    count = len(content["fresh_seeds"])
    pairs = "1 pair" if count == 1 else f"{count} pairs"
    name = MEASURES[measure_of(content)]
    text = f"winner - recipe on fresh seeds, {name} points, paired by seed ({pairs}): {'; '.join(parts)}"
    return f"{text}; {_decided(content['looks'])}" if "looks" in content else text


def _decided(looks: dict[str, Any]) -> str:
    """Which look has decided it by the test images, or what it would take."""
    if looks["decided"] is not None:
        count = looks["seeds"][looks["decided"]]
        return f"decided at {count} seeds (look {looks['decided'] + 1} of {len(looks['seeds'])})"
    return f"open; {would_do(looks['needed'])}"


def markdown(folder: Path) -> str:
    """The confirmation in a sweep's folder, for a page that renders Markdown; "" if there is none."""
    content = _read(folder)
    if content is None:
        return ""
    titles = [f"{'searched' if searched else 'fresh'} seeds, {IMAGES[images]}" for images, searched in SHOWN]
    rows = [[f"{MEASURES[measure_of(content)]} %", *titles], ["---"] * (len(titles) + 1), *_rows(content)]
    lines = [f"| {' | '.join(map(escape.markdown, row))} |" for row in rows]
    return "\n".join([*lines, "", f"± is the sample standard deviation over seeds. {difference_text(content)}."])


def sentences(folder: Path) -> list[str]:
    """What the confirmation in a sweep's folder found; none if there is none."""
    content = _read(folder)
    return [] if content is None else [f"Confirmed: {difference_text(content)}."]


def show(console: Console, confirmed: Confirmation, folder: Path) -> None:
    """Print the scores that the search saw beside those on fresh seeds, if there is a confirmation."""
    content = _read(folder)
    if content is None:
        return
    table = Table(title=f"confirmed: trial {confirmed.winner.number}, {in_words(confirmed.winner.params)}")
    table.title_justify = "left"
    table.add_column(f"{MEASURES[measure_of(content)]} %")
    for images, searched in SHOWN:
        seeds = (
            numbered(confirmed.sweep.seeds, "searched seed") if searched else numbered(confirmed.seeds, "fresh seed")
        )
        table.add_column(f"{IMAGES[images]}, {seeds}", justify="right")
    for row in _rows(content):
        table.add_row(*row)
    console.print(table)
    line(console, "confirm", difference_text(content))
    if not confirmed.sweep.config.split.follows_seed:
        line(
            console, "", "All seeds share the same labelled images (split.follows_seed), so only the training is fresh."
        )
    line(console, "", str(folder / NAME))


def _read(folder: Path) -> dict[str, Any] | None:
    file = folder / NAME
    if not file.exists():
        return None
    try:
        content: dict[str, Any] = read_json(file)
        return content
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}. Remove it, and run the same command again") from None


def _rows(content: dict[str, Any]) -> list[list[str]]:
    """Name and scores of each candidate."""
    return [
        [name, *(mean_text(scores_of(content, name, images, searched=searched)) for images, searched in SHOWN)]
        for name in dict.fromkeys(row["who"] for row in content["rows"])
    ]
