"""What can be published: a run of MLflow and the runs below it, whatever they are about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dmt_ray.deploy.model_info import ModelInfo
    from dmt_ray.results.curves import Point

KIND, NAME = "dmt.kind", "dmt.name"  # of the tags by which a run is found again; all of them start with "dmt."
ORDER = "order"  # the tag that sorts the runs below a run
PARENT = "mlflow.parentRunId"  # the tag by which MLflow knows the runs below a run
# In a note, the addresses of the run's list of runs below it, of their charts, and of its files.
CHILDREN, CHARTS, FILES = "#children", "#charts", "#files"
NOTE_LENGTH = 4550  # characters of a note that fit into MLflow on every database, whatever the address

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Series:
    """Metrics that are sent together, and once. A StoreError or MissingStages of one keeps no other one back."""

    name: str  # marks them as sent, in the tag "published.<name>"; "": they are sent whenever the run is
    digest: str  # changes when they do
    points: "Callable[[], Sequence[Point]]"


@dataclass(frozen=True)
class BestModel:
    """A model to log with a run."""

    key: str  # of its evaluation: a model is logged once
    weights: Callable[[], Path]  # finds the file of its weights
    info: Callable[[], "ModelInfo"]


@dataclass(frozen=True)
class DataInput:
    """Data that a run was trained on, as MLflow lists them."""

    name: str
    digest: str  # fingerprint of the whole data set, 32 hex digits
    facts: Mapping[str, str]  # its classes, and the splits with their digests


@dataclass(frozen=True)
class Content:
    """What a run shows."""

    params: Mapping[str, str]  # MLflow lets none of them be changed
    tags: Mapping[str, str | None]  # None: the run must not have it
    note: str = ""  # its description, in Markdown
    series: Iterable[Series] = ()
    write_files: Callable[[Path], None] | None = None  # writes its artifacts into a folder; None: they are not due
    files_digest: str = ""  # changes when the artifacts do; "": they are uploaded whenever the run is published
    end: int | None = None  # in milliseconds since 1970; None: now
    best_model: Callable[[], BestModel] | None = None  # chooses the model to log; None: there is none
    data: DataInput | None = None  # None: not known


@dataclass(frozen=True)
class Entry:
    """One run. What takes time to find out is a function, called by the publishing thread and only if it is needed."""

    name: str  # as people see it
    identity: Mapping[str, str]  # the tags by which it is found again, all of them beginning with "dmt."
    status: Status
    digest: Callable[[], str]  # decides all that the run shows: one that bears this digest is not sent again
    content: Callable[[], Content] | None  # makes what the run shows; None: nothing yet, and no run is made for it
    start: Callable[[], int | None] = lambda: None  # when it began, in milliseconds since 1970; None: now
    # The same as the digest, without a look into the store: what this process has published in this version is not even
    # looked up; "": it is.
    version: str = ""


@dataclass(frozen=True)
class View:
    """How the runs below a run are listed and charted.

    Attributes:
        columns: What is shown of each run, such as ("metrics", "score") or ("params", "weight.gamma1").
        order: The column by which they are sorted.
        ascending: Whether the lowest comes first.
        score: The metric that is charted against what was searched; "": none.
        searched: The parameters that were searched.
        numbers: Those of them that are numbers.
    """

    columns: Sequence[tuple[str, str]]
    order: tuple[str, str]
    ascending: bool = False
    score: str = ""
    searched: Sequence[str] = ()
    numbers: Sequence[str] = ()


@dataclass(frozen=True)
class Publication:
    """A run and the runs below it."""

    entry: Entry
    children: Callable[[], Sequence[Entry]] = tuple  # lists the runs below it
    # Tags for runs below it that are not among the children any more; empty: they stay as they are.
    outdated: Mapping[str, str | None] = field(default_factory=dict)
    view: View | None = None  # how the runs below it are listed and charted; None: as MLflow does it

    @property
    def name(self) -> str:
        """A newer publication of this name replaces an older one that still waits."""
        return self.entry.name
