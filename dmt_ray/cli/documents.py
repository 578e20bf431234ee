"""What `--json` prints, as models: `Model.model_json_schema()` is the schema, and output is validated by being one.

A document has no field that is not named here. A number that is not known, or not a number, is null. A later
version may add fields; none changes its meaning.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from dmt_ray.execution.cost import Estimate
    from dmt_ray.experiments.diagnose import Diagnosis
    from dmt_ray.plan import Plan, Stage
    from dmt_ray.report.status import Status
    from dmt_ray.report.tables.build import Table
    from dmt_ray.store import Store


class Document(BaseModel):
    """Base class of all documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def show(self) -> None:
        """Print it."""
        print(self.model_dump_json(indent=1))


class Cost(Document):
    """What some stages cost."""

    stages: int
    optimizer_steps: int = Field(description="Summed over the models.")
    seconds: float | None = Field(
        description="In one process, judging by earlier stages of the same kind; null if unknown."
    )
    rough: bool = Field(
        description="Whether seconds go beyond what was run here: they follow from a few timed steps, or from stages "
        "of another length or kind."
    )
    bytes: int | None = Field(description="Disk space, estimated likewise.")

    @classmethod
    def of(cls, estimate: "Estimate") -> "Cost":
        """An estimate as a document."""
        parts = {"stages": estimate.stages, "optimizer_steps": estimate.steps, "rough": estimate.rough}
        return cls(**parts, seconds=estimate.seconds, bytes=estimate.bytes)


class PlannedStage(Document):
    """A stage of a plan."""

    key: str
    operation: str
    settings: str = Field(description="In a few words.")
    seed: int
    inputs: dict[str, str] = Field(description="Name of an input -> key of its stage.")
    stored: bool


class PlanDocument(Document):
    """`dmt plan --json`."""

    method: str
    recipe: str
    seed: int
    rungs: list[dict[str, str]] = Field(description="Of every rung: A or B -> key of the stage that evaluates it.")
    stages: list[PlannedStage] = Field(description="Inputs first.")
    whole: Cost
    missing: Cost = Field(description="Of what is not in the store.")

    @classmethod
    def of(
        cls, what: tuple[str, str, int], plan: "Plan", missing: "Sequence[Stage]", costs: "tuple[Estimate, Estimate]"
    ) -> "PlanDocument":
        """A plan as a document; `what`: method, recipe and seed; `costs`: of all of it, and of what is missing."""
        method, recipe, seed = what
        stages = [
            PlannedStage(
                key=stage.key,
                operation=stage.operation.name,
                settings=str(stage.config),
                seed=stage.seed,
                inputs={name: needed.key for name, needed in stage.inputs.items()},
                stored=stage not in missing,
            )
            for stage in plan.stages()
        ]
        rungs = [{str(side): evaluation.key for side, evaluation in rung.items()} for rung in plan.rungs]
        whole, lacking = map(Cost.of, costs)
        return cls(method=method, recipe=recipe, seed=seed, rungs=rungs, stages=stages, whole=whole, missing=lacking)


class StoredStage(Document):
    """A stage in the store."""

    key: str
    operation: str
    seed: int
    settings: str = Field(description="In a few words.")
    bytes: int = Field(description="Of its files; evicted ones do not count.")
    made: str = Field(description="When it was computed, ISO 8601 in UTC.")
    evicted: list[str] = Field(description="Files that were removed to free space.")


class StoreDocument(Document):
    """`dmt store ls --json`."""

    storage: str
    bytes: int
    stages: list[StoredStage]

    @classmethod
    def of(cls, storage: str, store: "Store") -> "StoreDocument":
        """A store as a document."""
        stages = [
            StoredStage(
                key=row.key,
                operation=row.operation,
                seed=row.seed,
                settings=row.summary,
                bytes=row.bytes,
                made=row.made,
                evicted=list(row.evicted),
            )
            for row in store.ls()
        ]
        return cls(storage=storage, bytes=store.size(), stages=stages)


class BestSoFar(Document):
    """The highest score on the validation images so far."""

    what: str = Field(description="A trial with its settings, a row of an ablation, or the method of a run.")
    measure: str
    score: float = Field(description="From 0 to 1, after the last rung; the mean over the complete seeds.")


class ExperimentStatus(Document):
    """The state of a sweep, an ablation or a run."""

    name: str
    kind: Literal["sweep", "ablation", "run"]
    question: str = Field(description="The script's name; for a run, its method.")
    state: Literal["running", "complete", "failed", "incomplete"]
    members: dict[str, int] = Field(
        description="State -> number of trials in a sweep, or of runs in an ablation; missing: trials "
        "that have not begun, or runs that lack stages."
    )
    stages: dict[str, int] = Field(
        description="stored, missing -> number of stages; in a sweep, those of the trials that have begun, of "
        "pruned ones up to where they were."
    )
    best: BestSoFar | None
    failed: list[str] = Field(description="What failed, and why.")
    command: str = Field(description="The command that resumes it, from any folder.")
    folder: str


class StatusDocument(Document):
    """`dmt status --json`, with a name or without."""

    experiments: list[ExperimentStatus]

    @classmethod
    def of(cls, statuses: "Sequence[Status]") -> "StatusDocument":
        """The status of some experiments as a document."""
        return cls(
            experiments=[
                ExperimentStatus(
                    name=one.name,
                    kind=one.kind,
                    question=one.question,
                    state=one.state,
                    members=dict(one.members),
                    stages=dict(one.stages),
                    best=None
                    if one.best is None
                    else BestSoFar(what=one.best.what, measure=one.best.measure, score=one.best.score),
                    failed=list(one.failed),
                    command=one.command,
                    folder=str(one.folder),
                )
                for one in statuses
            ]
        )


class FailureDocument(Document):
    """Something that failed."""

    what: str
    error: str
    stage: str | None = Field(description="Where it failed.")
    costs: str | None = Field(description="For an ablation: the rows and seeds that lack it.")
    node: str | None
    when: str | None
    before: list[str] = Field(description="Earlier faults, one sentence each.")
    traceback: str | None = Field(description="A file.")
    command: str = Field(description="The command that reproduces it.")


class NoteDocument(Document):
    """A fault that was not final: a later attempt succeeded, or still may."""

    what: str
    text: str
    traceback: str | None


class WhyDocument(Document):
    """`dmt why --json`."""

    name: str
    kind: Literal["sweep", "ablation", "run"]
    members: int = Field(description="Planned number of trials or runs.")
    states: dict[str, int]
    failures: list[FailureDocument]
    notes: list[NoteDocument]
    resume: str = Field(description="Command that computes what is not complete; empty if everything is.")

    @classmethod
    def of(cls, diagnosis: "Diagnosis") -> "WhyDocument":
        """A diagnosis as a document."""
        failures = [
            FailureDocument(
                what=one.what,
                error=one.parts["error"],
                stage=one.parts.get("stage"),
                costs=one.parts.get("costs"),
                node=one.node,
                when=one.when,
                before=list(one.before),
                traceback=None if one.traceback is None else str(one.traceback),
                command=one.command,
            )
            for one in diagnosis.failures
        ]
        notes = [
            NoteDocument(what=one.what, text=one.text, traceback=None if one.traceback is None else str(one.traceback))
            for one in diagnosis.notes
        ]
        return cls(
            name=diagnosis.name,
            kind=diagnosis.kind,
            members=diagnosis.members,
            states=dict(diagnosis.states),
            failures=failures,
            notes=notes,
            resume=diagnosis.resume,
        )


class TableLine(Document):
    """A row of a table in a column, under a selection rule. Scores are fractions."""

    row: str
    column: str
    rule: Literal["last", "val", "paper"]
    method: str
    config: str
    planned: int = Field(description="Runs that the ablation asks for.")
    n: int = Field(description="Runs that have a score.")
    failed: int
    missing: int
    mean: float | None = Field(description="On the test images.")
    sd: float | None = Field(description="Sample standard deviation.")
    mark: str
    snapshots_fewest: float | None = Field(
        description="Smallest number of models from which a run's score was selected."
    )
    snapshots_most: float | None
    models: float | None
    steps: float | None = Field(description="Optimizer steps, summed over the models.")
    device_seconds: float | None
    reference: str
    pairs: float | None = Field(description="Seeds that both the row and the reference have.")
    wins: float | None
    ties: float | None
    difference: float | None = Field(description="Difference to the reference, mean over the pairs.")
    low: float | None = Field(
        description="95 % interval of the difference, paired t; with --until-decided right at all looks."
    )
    high: float | None
    pooled_low: float | None
    pooled_high: float | None
    p: float | None = Field(description="Exact sign-flip test.")
    floor: float | None = Field(description="The smallest p that this many pairs allow.")
    holm: float | None = Field(description="p after Holm's correction.")
    star: bool
    look: float | None = Field(description="The look, counted from 1, that decided the row; with --until-decided.")
    needed: float | None = Field(description="Seeds that would decide an open row in four of five tables.")
    paper_percent: float | None
    paper_sd_percent: float | None


class TableDocument(Document):
    """The table of an ablation."""

    title: str
    lines: list[TableLine]
    caption: list[str]
    made_from: list[str]


class TablesDocument(Document):
    """`dmt table --json`."""

    tables: list[TableDocument]

    @classmethod
    def of(cls, tables: "Sequence[Table]") -> "TablesDocument":
        """Some tables as a document."""
        return cls(
            tables=[
                TableDocument(
                    title=table.title,
                    lines=[TableLine(**_without_nan(line)) for line in table.raw.to_dict("records")],
                    caption=list(table.caption),
                    made_from=list(table.footer),
                )
                for table in tables
            ]
        )


def _without_nan(line: dict[Any, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in line.items()}


DOCUMENTS: dict[str, type[Document]] = {
    "dmt plan": PlanDocument,
    "dmt status": StatusDocument,
    "dmt table": TablesDocument,
    "dmt store ls": StoreDocument,
    "dmt why": WhyDocument,
}
"""Command -> what its `--json` prints."""
