"""What can be published: a run of MLflow and the runs below it, whatever they are about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dmt_ray.results.curves import Point

KIND, NAME = "dmt.kind", "dmt.name"  # of the tags by which a run is found again; all of them start with "dmt."
ORDER = "order"  # the tag that sorts the runs below a run
CHILDREN = "#children"  # in a note: the address of the list of the runs below, sorted by ORDER
NOTE_LENGTH = 4550  # characters of a note that fit into MLflow on every database, whatever the address

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Series:
    """Metrics that are sent together, and once.

    Attributes:
        name: Marks them as sent, in the tag "published.<name>"; "": they are sent whenever the run is.
        digest: Changes when they do.
        points: Reads them. What it raises as StoreError or MissingStages keeps no other series back.
    """

    name: str
    digest: str
    points: "Callable[[], Sequence[Point]]"


@dataclass(frozen=True)
class BestModel:
    """A model to log with a run.

    Attributes:
        key: Its identity: a model is logged once.
        stage: Key of the stage that trained it.
        score: Name and value of what it was chosen by.
        folder: Opens the folder of its files.
        file: Which of the models in the folder.
        averaged: Whether it is the moving average of the weights.
        class_name: Number of a class -> its name.
    """

    key: str
    stage: str
    score: tuple[str, float]
    folder: Callable[[], Path]
    file: str
    averaged: bool
    class_name: Callable[[int], str]


@dataclass(frozen=True)
class Content:
    """What a run shows.

    Attributes:
        params: MLflow lets none of them be changed.
        tags: Tag -> value; None: the run must not have it.
        note: Its description, in Markdown.
        series: Its metrics.
        write_files: Writes its artifacts into a folder; None: they are not due.
        files_digest: Changes when the artifacts do; "": they are uploaded whenever the run is published.
        end: When it ended, in milliseconds since 1970; None: now.
        best_model: Chooses the model to log; None: there is none.
    """

    params: Mapping[str, str]
    tags: Mapping[str, str | None]
    note: str = ""
    series: Iterable[Series] = ()
    write_files: Callable[[Path], None] | None = None
    files_digest: str = ""
    end: int | None = None
    best_model: Callable[[], BestModel] | None = None


@dataclass(frozen=True)
class Entry:
    """One run. What takes time to find out is a function, called by the publishing thread and only if it is needed.

    Attributes:
        name: As people see it.
        identity: The tags by which it is found again, all of them beginning with "dmt.".
        status: Its state in MLflow.
        digest: Finds out what decides all that the run shows. A run that bears this digest is not sent again.
        content: Makes what the run shows; None: nothing yet, and no run is made for it.
        start: When it began, in milliseconds since 1970; None: now.
        version: The same as the digest, without a look into the store: what this process has published in this version
            is not even looked up; "": it is.
    """

    name: str
    identity: Mapping[str, str]
    status: Status
    digest: Callable[[], str]
    content: Callable[[], Content] | None
    start: Callable[[], int | None] = lambda: None
    version: str = ""


@dataclass(frozen=True)
class Publication:
    """A run and the runs below it.

    Attributes:
        entry: The run.
        children: Lists the runs below it.
        outdated: Tags for runs below it that are not among the children any more; empty: they stay as they are.
    """

    entry: Entry
    children: Callable[[], Sequence[Entry]] = tuple
    outdated: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A newer publication of this name replaces an older one that still waits."""
        return self.entry.name
