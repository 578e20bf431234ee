"""The way into MLflow: one experiment, plain client calls, nothing global, short time limits."""

import json
import logging
import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from dmt_ray.errors import UserError, without_password, without_passwords

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from dmt_ray.results.curves import Point
    from dmt_ray.tracking.publication import DataInput

T = TypeVar("T")
Identity = frozenset[tuple[str, str]]
"""The tags by which a run is found again."""

EXPERIMENT = "dmt_ray"
DATABASE, ARTIFACTS = "mlflow.db", "mlruns-artifacts"
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
REACHABLE = 2.0  # seconds to open a connection in

# Read by MLflow at each call. What the user has set counts.
LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def check_uri(uri: str) -> None:
    """Check the form of a tracking URI.

    Raises:
        UserError: If MLflow cannot use it here.
    """
    printable = repr(without_password(uri))
    advice = "Pass http://HOST:PORT of an MLflow server, or sqlite:////FOLDER/mlflow.db."
    try:
        parts = urlsplit(uri)
        scheme, host, _ = parts.scheme.partition("+")[0], parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"{printable} is not a tracking URI of MLflow: {error}. {advice}") from None
    problems = {
        "is not a tracking URI of MLflow that can be used here": scheme not in (*PORTS, "sqlite"),
        "does not name a database file": scheme == "sqlite" and not re.match(r"sqlite:///.", uri),
        "does not name a host": scheme != "sqlite" and not host,
    }
    for problem in (text for text, applies in problems.items() if applies):
        raise UserError(f"{printable} {problem}. {advice}")


# Tables and columns of MLflow that hold addresses of files.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


@dataclass
class RunsBelow:
    """The runs below a run, and which versions of them this process has published."""

    runs: "dict[Identity, Run]"
    versions: dict[Identity, str] = field(default_factory=dict)


class Mirror:
    """One experiment of one MLflow.

    Args:
        uri: Its tracking URI.
        artifacts: Folder for the experiment's files, where no server keeps them.

    Attributes:
        public_uri: The URI without a password.
        known: Id of a run -> the runs below it, as this process has left them.
        client: The client; after `open`.
        experiment: Id of the experiment; after `open`.
    """

    client: "MlflowClient"
    experiment: str
    _tags: dict[str, str]

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._database = _file_of(uri)
        self.uri, self.public_uri, self._artifacts = uri, without_password(uri), artifacts
        self.known: dict[str, RunsBelow] = {}

    def open(self) -> None:
        """Connect, and create the experiment where it does not exist.

        Raises:
            OSError: If nothing listens at the address.
            MlflowException: If MLflow refuses.
            UserError: If the database is none, or one of another version of MLflow.
        """
        self._probe()
        if hasattr(self, "client"):
            return
        from mlflow import MlflowClient  # seconds to import, and only the driver needs it

        for logger in ("mlflow", "alembic"):  # they log every table that they create, and a missing pip
            logging.getLogger(logger).setLevel(logging.ERROR)
        try:
            client = MlflowClient(tracking_uri=self.uri)
            client.get_experiment_by_name(EXPERIMENT)
        except Exception as error:
            if "database schema" in str(error) or "Can't locate revision" in str(error):
                raise UserError(self._other_version()) from None
            raise
        if self._database is not None:
            _remove_misnamed(self.uri, self._database)
            if self._database.parent == self._artifacts.parent:
                relocate(self._artifacts.parent)
        existing = client.get_experiment_by_name(EXPERIMENT)
        if existing is None:
            location = None if self.uri.startswith("http") else self._artifacts.as_uri()
            self.experiment, self._tags = client.create_experiment(EXPERIMENT, artifact_location=location), {}
        else:
            if existing.lifecycle_stage == "deleted":
                client.restore_experiment(existing.experiment_id)
            self.experiment, self._tags = existing.experiment_id, dict(existing.tags)
        self.client = client
        # The UI then opens on training runs and not on its tools for language models.
        self.tag_experiment("mlflow.experimentKind", lambda _: "custom_model_development")

    def _other_version(self) -> str:
        away = (
            "" if self._database is None else ", or move it away: `dmt publish` then publishes everything to a new one"
        )
        return (
            f"the database of MLflow at {self.public_uri} was written by another version of MLflow. Make a copy of it "
            f"and run `mlflow db upgrade {self.public_uri}`{away}."
        )

    def _probe(self) -> None:
        """Try the port first: database drivers and HTTP pools try for minutes where nothing listens."""
        parts = urlsplit(self.uri)
        scheme = parts.scheme.partition("+")[0]
        if self._database is not None:
            _check_database(self._database)
        if scheme in PORTS and parts.hostname:
            socket.create_connection((parts.hostname, parts.port or PORTS[scheme]), REACHABLE).close()
        if scheme not in ("sqlite", "http", "https"):  # MLflow would try a wrong password for minutes
            import sqlalchemy

            engine = sqlalchemy.create_engine(self.uri)
            engine.connect().close()
            engine.dispose()

    def find(self, tags: Mapping[str, str]) -> list["Run"]:
        """The runs with these tags, the oldest first."""
        condition = " and ".join(f"tags.`{name}` {_equals(value)}" for name, value in tags.items())
        order = ["attributes.start_time ASC"]
        search = partial(self.client.search_runs, [self.experiment], condition, max_results=1000, order_by=order)
        page = search()
        runs = list(page)
        while page.token:
            page = search(page_token=page.token)
            runs += page
        return [run for run in runs if all(run.data.tags.get(name) == value for name, value in tags.items())]

    def create(self, name: str, tags: Mapping[str, str], start: int | None) -> "Run":
        """A new run that goes on; `start` in milliseconds since 1970, None: now."""
        return self.client.create_run(self.experiment, run_name=name, tags=dict(tags), start_time=start)

    def log_params(self, run: "Run", params: Mapping[str, str]) -> None:
        """Write the parameters that the run does not have: MLflow lets none be changed."""
        from mlflow.entities import Param

        new = [Param(name, value[:6000]) for name, value in params.items() if name not in run.data.params]
        for batch in batched(new, 100):
            self.client.log_batch(run.info.run_id, params=batch)
        run.data.params.update({param.key: param.value for param in new})

    def log_data(self, run: "Run", data: "DataInput") -> None:
        """Say which data a run was trained on; nothing if the run has these already."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        logged = [] if run.inputs is None else run.inputs.dataset_inputs
        if any((one.dataset.name, one.dataset.digest) == (data.name, data.digest) for one in logged):
            return
        tags = [InputTag("mlflow.data.context", "training"), *(InputTag(*each) for each in data.facts.items())]
        dataset = Dataset(data.name, data.digest, "local", json.dumps({"name": data.name}))
        self.client.log_inputs(run.info.run_id, [DatasetInput(dataset, tags)])

    def log_points(self, run: "Run", points: "Sequence[Point]") -> None:
        """Write metrics; a point that is there already is not written twice by MLflow, as its time is the same."""
        from mlflow.entities import Metric

        for batch in batched(points, 900):  # MLflow's limit is 1000
            metrics = [Metric(point.name, point.value, point.when, point.step) for point in batch]
            self.client.log_batch(run.info.run_id, metrics=metrics)

    def tag(self, run: "Run", tags: Mapping[str, str | None]) -> None:
        """Set the tags that differ, and remove those that are None."""
        from mlflow.entities import RunTag

        present = {name: value[:4900] for name, value in tags.items() if value is not None}
        new = [RunTag(name, value) for name, value in present.items() if run.data.tags.get(name) != value]
        for batch in batched(new, 100):
            self.client.log_batch(run.info.run_id, tags=batch)
        run.data.tags.update({tag.key: tag.value for tag in new})
        for name in tags.keys() & run.data.tags.keys() - present.keys():
            self.client.delete_tag(run.info.run_id, name)
            del run.data.tags[name]

    def tag_experiment(self, name: str, value_of: Callable[[str | None], str | None]) -> None:
        """Set a tag of the experiment by its value, as this process knows it, where that differs; None: leave it."""
        value = value_of(self._tags.get(name))
        if value is not None and value != self._tags.get(name):
            self.client.set_experiment_tag(self.experiment, name, value)
            self._tags[name] = value

    def set_status(self, run: "Run", status: str, end: int | None = None) -> None:
        """Set RUNNING, FINISHED, KILLED or FAILED where it differs; `end` in milliseconds since 1970, None: now."""
        if run.info.status == status:
            return
        if status == "RUNNING":
            self.client.update_run(run.info.run_id, status=status)
        else:
            self.client.set_terminated(run.info.run_id, status, None if end is None else max(end, run.info.start_time))
        run.info._status = status

    def has_lost_files(self, run: "Run") -> bool:
        """Whether the folder of a run's artifacts is gone, as far as this machine can see it."""
        parts = urlsplit(run.info.artifact_uri or "")
        return parts.scheme == "file" and not Path(unquote(parts.path)).is_dir()

    def upload(self, run: "Run", folder: Path) -> None:
        """Upload all files of a folder."""
        if any(folder.iterdir()):
            self.client.log_artifacts(run.info.run_id, str(folder))


def _equals(value: str) -> str:
    """That a tag has a value, in the language of MLflow's searches, which knows no escapes."""
    if "'" not in value:
        return f"= '{value}'"
    # The one character that stands for any; who searches looks at what is found once more.
    return f"""LIKE '{value.replace("'", "_")}'"""


def _file_of(uri: str) -> Path | None:
    """The file of an SQLite database."""
    if not uri.startswith("sqlite:///"):
        return None
    from sqlalchemy import make_url

    return Path(str(make_url(uri).database)).absolute()


def _check_database(file: Path) -> None:
    """Find out at once what MLflow would try for minutes.

    Raises:
        sqlite3.OperationalError: If the file cannot be read or made.
        UserError: If it is something else than a database.
    """
    try:
        with closing(sqlite3.connect(file, timeout=30)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{file} is not an MLflow database ({error}). Move it away: `dmt publish` then publishes all results to a "
            "new one."
        ) from None


def _remove_misnamed(uri: str, file: Path) -> None:
    """Remove the empty folder that MLflow makes when a folder's name has to be quoted in the URI."""
    folder = Path(uri.removeprefix("sqlite:///")).parent
    if folder != file.parent:
        with suppress(OSError):
            folder.rmdir()


def relocate(storage: Path) -> None:
    """Tell MLflow's database in a storage folder where the files beside it are, if the folder was moved or copied.

    MLflow keeps an absolute address with every experiment, run and model, and has no call that changes it.
    """
    here = (storage.absolute() / ARTIFACTS).as_uri()
    with suppress(sqlite3.Error), closing(sqlite3.connect(storage / DATABASE, timeout=30)) as database, database:
        row = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", [EXPERIMENT]).fetchone()
        old = row and str(row[0])
        if not old or old == here or not old.startswith("file:") or not old.endswith(f"/{ARTIFACTS}"):
            return
        for table, column in _ADDRESSES:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) IN (?, ?)",
                [here, len(old) + 1, len(old) + 1, old, f"{old}/"],
            )


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, at most `size` at a time."""
    return (items[first : first + size] for first in range(0, len(items), size))


def explain(error: BaseException) -> str:
    """An error as the end of a sentence."""
    text = without_passwords(str(error).strip().partition("\n")[0])[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
