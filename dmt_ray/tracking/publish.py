"""Bring MLflow up to date. Repeating it changes nothing; interrupted, it resumes where it stopped.

Runs are found again by tags that start with "dmt.". Series of metrics are marked as published after they are in, and
their times come from the store, so that MLflow drops what an interrupted attempt had sent before.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.tracking import view
from dmt_ray.tracking.connection import Identity, Mirror, RunsBelow
from dmt_ray.tracking.publication import CHARTS, CHILDREN, FILES, PARENT, Content, Entry, Publication, View

if TYPE_CHECKING:
    from mlflow.entities import Run

    from dmt_ray.results.curves import Point

log = logging.getLogger(__name__)

NOTE = "mlflow.note.content"  # MLflow shows it as the description
PUBLISHED = "published.all"  # the digest of all that a run shows
FILED = "published.files"  # that its artifacts are there, and their digest, where they have one of their own


def publish(mirror: Mirror, publication: Publication) -> None:
    """Bring MLflow up to date with a publication.

    Raises:
        Exception: Whatever MLflow, its database or its server raises. What was published before stays.
    """
    entry, children = publication.entry, publication.children()
    runs = mirror.find(entry.identity)
    run = runs[0] if runs else mirror.create(entry.name, entry.identity, entry.start())
    if publication.view is not None:
        _publish_view(mirror, run, publication.view)
    # First the children: a page never speaks of one that is not there.
    if children:
        _publish_children(mirror, run.info.run_id, children, publication.outdated)
    _publish(mirror, entry, run)


def _publish_children(
    mirror: Mirror, parent: str, children: Sequence[Entry], outdated: Mapping[str, str | None]
) -> None:
    if parent not in mirror.known:  # all are read once: a thousand take seconds
        runs = mirror.find({PARENT: parent})
        mirror.known[parent] = RunsBelow({_identity(run.data.tags): run for run in reversed(runs)})  # the oldest counts
    known, identities = mirror.known[parent], [_identity(child.identity) for child in children]
    for key, child in zip(identities, children, strict=True):
        if child.content is None or (child.version and known.versions.get(key) == child.version):
            continue
        if key not in known.runs:
            known.runs[key] = mirror.create(child.name, {PARENT: parent, **child.identity}, child.start())
        if _publish(mirror, child, known.runs[key]):
            known.versions[key] = child.version
    if outdated:
        for key in known.runs.keys() - set(identities):
            mirror.tag(known.runs[key], {**outdated, PUBLISHED: None})
            known.versions.pop(key, None)


def _identity(tags: Mapping[str, str]) -> Identity:
    return frozenset((name, value) for name, value in tags.items() if name.startswith("dmt."))


def _publish(mirror: Mirror, entry: Entry, run: "Run") -> bool:
    """Bring one run up to date; False if a stage turned out to be damaged, or was finished meanwhile."""
    digest = entry.digest()
    lost = FILED in run.data.tags and mirror.has_lost_files(run)
    published = run.data.tags.get(PUBLISHED) == digest and run.info.status == entry.status
    if entry.content is None or (published and not lost):
        return True
    content = entry.content()
    mirror.set_status(run, "RUNNING")
    mirror.log_params(run, content.params)
    mirror.tag(run, content.tags)
    if content.data is not None:
        mirror.log_data(run, content.data)
    if content.note:
        mirror.tag(run, {NOTE: _with_addresses(mirror, run, content.note)})
    _publish_series(mirror, run, content)
    known = None if lost else run.data.tags.get(FILED)
    if content.write_files is not None and (not content.files_digest or known != content.files_digest):
        with tempfile.TemporaryDirectory(prefix="dmt-") as folder:
            with _readable("a figure"):
                content.write_files(Path(folder))
            mirror.upload(run, Path(folder))
        mirror.tag(run, {FILED: content.files_digest or "uploaded"})
    if content.best_model is not None:
        from dmt_ray.tracking.best_model import log_best_model  # torch, which nothing else here needs

        with _readable("the best model"):
            log_best_model(mirror, run, content.best_model())
    mirror.set_status(run, entry.status, content.end)
    if entry.digest() != digest:
        return False
    mirror.tag(run, {PUBLISHED: digest})
    return True


def _publish_series(mirror: Mirror, run: "Run", content: Content) -> None:
    """Send the metrics that are not yet marked as published, in as few calls as there can be."""
    points: list[Point] = []
    marks: dict[str, str | None] = {}
    for series in content.series:
        mark = f"published.{series.name}"
        if not series.name or run.data.tags.get(mark) != series.digest:
            with _readable(series.name or "a mean"):
                points += series.points()
                if series.name:
                    marks[mark] = series.digest
    mirror.log_points(run, points)
    mirror.tag(run, marks)


def _publish_view(mirror: Mirror, run: "Run", shown: View) -> None:
    """Keep how the runs below a run are shown, and have its columns in the view of all runs, too."""
    mirror.tag_experiment(f"{view.TAG}{run.info.run_id}", lambda _: view.as_tag(view.below(shown, run.info.run_id)))
    mirror.tag_experiment(f"{view.TAG}{view.ALL}", lambda before: view.as_tag(view.together(shown, before)))


def _with_addresses(mirror: Mirror, run: "Run", note: str) -> str:
    """A note with the addresses of its run's pages in the UI."""
    key = run.info.run_id
    addresses = {
        CHILDREN: view.page_of(mirror.experiment, key),
        CHARTS: view.page_of(mirror.experiment, key, charts=True),
        FILES: f"#/experiments/{mirror.experiment}/runs/{key}/artifacts",
    }
    for name, address in addresses.items():
        note = note.replace(f"({name}", f"({address}")
    return note


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Go on where a stage is damaged or gone: it is published when it has been computed again."""
    try:
        yield
    except (StoreError, MissingStages) as error:
        log.warning("%s is not published: %s", what, error)
