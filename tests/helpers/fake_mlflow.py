"""An MLflow in memory that fails at its n-th request: before it, behind it, half-way, or with the process that asks."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from dmt_ray.tracking import Mirror
from tests.helpers.disk import Died

Kind = Literal["refused", "lost", "half", "death", "death behind it"]
KINDS: tuple[Kind, ...] = ("refused", "lost", "half", "death", "death behind it")


class Page(list[Any]):
    """What a search finds, all of it."""

    token = None


@dataclass
class Info:
    """A run's, whose state MLflow keeps under this name."""

    run_id: str
    start_time: int
    artifact_uri: str
    _status: str = "RUNNING"
    end_time: int | None = None

    @property
    def status(self) -> str:
        return self._status


@dataclass
class Server:
    """Its runs, and the request that fails.

    Attributes:
        at: The request that fails, from 1; 0: none does.
        kind: "refused": nothing is done; "lost": it is done, and the answer is lost; "half": of several values half are
            written; "death": the process ends before it; "death behind it".
        count: Requests so far.
        dead: Whether the process has ended: it asks nothing more.
    """

    at: int = 0
    kind: Kind = "refused"
    count: int = 0
    dead: bool = False
    runs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    metrics: dict[str, set[tuple[str, float, int, int]]] = field(default_factory=dict)

    def mirror(self, folder: Path) -> Mirror:
        """The way to it of a new process."""
        mirror = Mirror("http://localhost", folder)
        mirror.client, mirror.experiment = self, "1"  # type: ignore[assignment]
        mirror.open = lambda: None  # type: ignore[method-assign]
        return mirror

    def _asked(self, values: Sequence[Any], write: Any) -> None:
        if self.dead:
            raise Died
        self.count += 1
        fails = self.count == self.at
        if fails and self.kind == "death":
            self.dead = True
            raise Died
        if fails and self.kind == "refused":
            raise ConnectionError("refused")
        for value in values[: len(values) // 2] if fails and self.kind == "half" else values:
            write(value)
        if fails and self.kind == "death behind it":
            self.dead = True
            raise Died
        if fails:
            raise ConnectionError("no answer")

    # ---- as MLflow's client has it --------------------------------------------------------------------------------

    def search_runs(self, experiments: list[str], condition: str, **further: Any) -> Page:
        self._asked((), None)
        return Page(copy.deepcopy(list(self.runs.values())))

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str], start_time: int | None) -> Any:
        run_id = f"run{len(self.runs)}"
        info = Info(run_id, start_time or 0, f"mlflow-artifacts:/{run_id}")
        data = SimpleNamespace(tags={**tags, "mlflow.runName": run_name}, params={})
        run = SimpleNamespace(info=info, data=data, inputs=SimpleNamespace(dataset_inputs=[]))
        self._asked([run], lambda run: self.runs.update({run_id: run}))
        return copy.deepcopy(run)

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        data, points = self.runs[run_id].data, self.metrics.setdefault(run_id, set())

        def write(value: Any) -> None:
            kind = type(value).__name__
            if kind == "Metric":
                points.add((value.key, value.value, value.timestamp, value.step))
            elif kind == "Param":
                assert data.params.setdefault(value.key, value.value) == value.value, "a parameter cannot be changed"
            else:
                data.tags[value.key] = value.value

        self._asked([*metrics, *params, *tags], write)

    def delete_tag(self, run_id: str, name: str) -> None:
        self._asked([name], lambda name: self.runs[run_id].data.tags.pop(name))

    def update_run(self, run_id: str, status: str) -> None:
        self._asked([status], lambda status: setattr(self.runs[run_id].info, "_status", status))

    def set_terminated(self, run_id: str, status: str, end_time: int | None) -> None:
        def write(status: str) -> None:
            self.runs[run_id].info._status, self.runs[run_id].info.end_time = status, end_time

        self._asked([status], write)

    def log_inputs(self, run_id: str, inputs: list[Any]) -> None:
        self._asked(inputs, self.runs[run_id].inputs.dataset_inputs.append)

    def log_artifacts(self, run_id: str, folder: str) -> None:
        content = self.files.setdefault(run_id, {})
        self._asked(sorted(Path(folder).iterdir()), lambda path: content.update({path.name: path.read_bytes()}))

    def everything(self) -> dict[str, Any]:
        """All that it holds, by the names of the runs."""
        return {
            run.data.tags["mlflow.runName"]: (
                run.data.tags,
                run.data.params,
                run.info.status,
                run.info.end_time,
                sorted(self.metrics.get(run_id, ())),
                self.files.get(run_id, {}),
                [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs],
            )
            for run_id, run in self.runs.items()
        }
