"""Stages of a small ablation are computed again and compared; nothing that was forged or changed stays unseen."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dmt_ray.errors import ConfigError, DataError, MissingStages, StoreError, UserError
from dmt_ray.execution.journal import locked
from dmt_ray.experiments import audit_file, experiment_file
from dmt_ray.experiments.audit import Audit, Step
from dmt_ray.experiments.audit_file import drawn, sample
from dmt_ray.experiments.audited import Audited
from dmt_ray.plan import Stage
from dmt_ray.results.auditing import in_words, of_cells
from dmt_ray.store import Record, Store, files
from tests.helpers import fake_stages
from tests.helpers.fake_stages import TWO_ROWS, ablation_file


def audit(folder: Path, hours: float = 1.0, seed: int = 0, **further: object) -> tuple[Audit, list[Step]]:
    """Audit a table; what was said when stages ended."""
    steps: list[Step] = []
    one = Audit(Audited.of_folder(folder, None, None), seed=seed, hours=hours, say=steps.append, **further)  # type: ignore[arg-type]
    one.perform()
    return one, [step for step in steps if step.outcome is not None]


def by_name(one: Audit) -> dict[str, str]:
    """Operation -> what came of its stage, of those that differ."""
    return {name.partition("-")[0]: each.what for name, each in one.content.stages.items() if not each.agrees}


def stage_of(folder: Path, operation: str) -> Stage:
    return next(stage for stage in Audited.of_folder(folder, None, None).records if stage.operation.name == operation)


def content(folder: Path) -> dict[str, bytes]:
    stages = folder / "stages"
    return {str(path.relative_to(stages)): path.read_bytes() for path in sorted(stages.rglob("*")) if path.is_file()}


def test_all_stages_come_back_byte_by_byte_and_the_store_is_left_alone(folder: Path) -> None:
    storage = folder.parents[1]
    before = content(storage)
    one, steps = audit(folder)
    assert content(storage) == before
    assert [step.stage.operation.name for step in steps if not step.outcome.agrees] == []
    assert {each.exact for each in one.content.stages.values()} == {True}
    assert in_words(one.content, one.table.digests()) == "5 of 5 stages recomputed, 5 agree: none differs"
    assert not (storage / "audits" / folder.name / "store").exists()
    cells = of_cells(folder, Store(storage), list(experiment_file.read(folder).ablation.members()))
    assert cells["agrees"] == [["Baseline", "pictures"], ["CBST", "pictures"]]


def forge(folder: Path, operation: str) -> str:
    """Change a weight of a stage, and make all records agree with that; the name of the tensor."""
    store, stage = Store(folder.parents[1]), stage_of(folder, operation)
    path = store.path(stage) / "model.safetensors"
    weights = load_file(path)
    name = next(name for name, value in weights.items() if value.dtype == np.float32)
    weights[name] = weights[name].copy()
    weights[name].flat[0] += np.float32(0.5)
    save_file(weights, path)
    old = store.record(stage)
    sizes = old.sizes | {path.name: path.stat().st_size}
    new = replace(old, files=old.files | {path.name: files.digest(path)}, sizes=sizes)
    for file in (folder.parents[1] / "stages").rglob("record.json"):
        record = Record.from_json(file.read_bytes())
        inputs = record.inputs.items()
        digests = {each: new.digest if key == old.key else record.input_digests[each] for each, key in inputs}
        record = new if record.key == old.key else replace(record, input_digests=digests)
        file.write_text(record.to_json())
    return name


def test_a_flipped_weight_is_found_although_all_records_were_made_to_agree(folder: Path) -> None:
    tensor = forge(folder, "pretrain")
    assert Store(folder.parents[1]).verify().damaged == []
    one, _ = audit(folder)
    differing = by_name(one)
    assert differing["pretrain"].startswith(f"model.safetensors: {tensor} by up to 0.5,")
    # What was made from the true weights does not follow from the forged ones.
    assert {"finetune", "evaluate", "label"} & differing.keys()
    members = list(experiment_file.read(folder).ablation.members())
    assert ["CBST", "pictures"] in of_cells(folder, Store(folder.parents[1]), members)["differs"]


def test_a_score_that_was_changed_in_file_and_record_is_found(folder: Path) -> None:
    store, stage = Store(folder.parents[1]), stage_of(folder, "evaluate")
    path = store.path(stage) / "metrics.json"
    values = json.loads(path.read_text())
    values["reported"]["miou"] += 0.25
    path.write_text(json.dumps(values, indent=1) + "\n")
    old = store.record(stage)
    new = replace(old, files={path.name: files.digest(path)}, sizes={path.name: path.stat().st_size})
    (store.path(stage) / "record.json").write_text(new.to_json())
    one, _ = audit(folder)
    assert list(by_name(one)) == ["evaluate"]
    assert "reported.miou was" in by_name(one)["evaluate"]
    assert "the scores differ by up to 25.00 points" in by_name(one)["evaluate"]


class Killed(BaseException):
    """What ends a process."""


@pytest.mark.parametrize("at", ["begins", "ended"])
def test_a_killed_audit_resumes_and_computes_nothing_twice(folder: Path, at: str) -> None:
    table, seen = Audited.of_folder(folder, None, None), list[Step]()

    def die_at_the_third(step: Step) -> None:
        seen.append(step)
        ended = [one for one in seen if one.outcome is not None]
        if len(ended) == (2 if at == "begins" else 3) and (step.outcome is None) == (at == "begins"):
            raise Killed

    with pytest.raises(Killed):
        Audit(table, seed=0, hours=1, say=die_at_the_third).perform()
    done = {one.stage for one in seen if one.outcome is not None}
    one, steps = audit(folder)
    assert len(done) == (2 if at == "begins" else 3)
    assert {step.stage for step in steps} == set(table.records) - done
    assert in_words(one.content, table.digests()) == "5 of 5 stages recomputed, 5 agree: none differs"


def test_a_training_that_is_killed_in_the_middle_goes_on(folder: Path) -> None:
    """A stage that was computed and not noted yet counts as it is."""
    table, target = Audited.of_folder(folder, None, None), stage_of(folder, "pretrain")

    def die(stage: Stage, done: int, steps: int) -> None:
        if stage == target and done > 1:
            raise Killed

    with pytest.raises(Killed):
        Audit(table, seed=0, hours=1, on_progress=die).perform()
    one, _ = audit(folder)
    assert by_name(one) == {}
    assert len(one.content.stages) == 5


def test_inputs_that_were_evicted_are_computed_first_and_count_when_they_are_drawn(folder: Path) -> None:
    store = Store(folder.parents[1])
    store.gc(0)
    assert store.record(stage_of(folder, "pretrain")).evicted == ("model.safetensors",)
    one, steps = audit(folder)
    assert by_name(one) == {}
    assert len(steps) == len({step.stage for step in steps}) == 5


def test_a_damaged_input_is_quarantined_and_named(folder: Path) -> None:
    store, target = Store(folder.parents[1]), stage_of(folder, "pretrain")
    path = store.path(target) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    one, _ = audit(folder)
    assert list(by_name(one)) == ["pretrain"]
    assert not store.has(target)


def test_on_another_machine_a_bound_takes_the_place_of_the_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmt_ray.execution.recompute.cpu", lambda: "another processor")
    one, _ = audit(folder)
    assert {each.exact for each in one.content.stages.values()} == {False}
    assert by_name(one) == {}
    forge(folder, "pretrain")
    again, steps = audit(folder)
    assert "not expected to be the same bytes: made on" in by_name(again)["pretrain"]
    # Only what has another digest than when it was compared is computed again.
    assert [step.stage.operation.name for step in steps] == ["pretrain"]


def test_data_of_another_fingerprint_are_refused_before_any_work(folder: Path, pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(pictures, other)
    shutil.copy(pictures / "images" / "train_0001.png", other / "images" / "train_0000.png")
    with pytest.raises(DataError, match="are not the data that these settings were made for"):
        Audit(Audited.of_folder(folder, None, other), seed=0, hours=1).perform()
    with pytest.raises(DataError, match="there is no folder"):
        Audit(Audited.of_folder(folder, None, tmp_path / "none"), seed=0, hours=1).perform()


# ---- nothing is computed in these ------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Audited:
    """Two rows and two seeds of stages that took ten seconds each, by their records."""
    file = replace(ablation_file("components", TWO_ROWS), storage=Store(tmp_path / "runs").folder)
    experiment_file.write(file.folder, file)
    fake_stages.perform(Store(tmp_path / "runs"), file)
    return Audited.of_folder(file.folder, None, None)


def test_only_what_fits_into_the_hours_is_expected(table: Audited) -> None:
    count = len(table.records)
    assert Audit(table, seed=0, hours=35 / 3600).expected() == (3, 3, 30.0)
    assert Audit(table, seed=0, hours=10).expected() == (count, count, 10.0 * count)


def test_hours_in_which_the_longest_stage_does_not_fit_are_refused(table: Audited) -> None:
    with pytest.raises(ConfigError, match=r"is 9 s, but \S+ alone takes about 10 s.* least --hours 0\.0029"):
        Audit(table, seed=0, hours=9 / 3600).expected()


def test_a_draw_depends_on_its_seed_alone_and_stays_when_stages_join(table: Audited) -> None:
    stages = list(table.records)
    assert drawn(stages, 0) == drawn(reversed(stages), 0) != drawn(stages, 1)
    assert [stage for stage in drawn(stages, 0) if stage in stages[:5]] == drawn(stages[:5], 0)


def test_the_sample_ends_where_the_first_stage_was_not_computed_again(table: Audited) -> None:
    digests = table.digests()
    order = drawn(digests, 0)
    known = {
        stage.name: audit_file.Recomputed(digests[stage], True, True, "", 1.0, "2026-01-01T00:00:00+00:00", 0)
        for stage in (*order[:3], order[4])
    }
    assert [stage for stage, _ in sample(audit_file.AuditFile(0, [], known), digests)] == order[:3]
    changed = digests | {order[1]: "0" * 32}
    assert [stage for stage, _ in sample(audit_file.AuditFile(0, [], known), changed)] == order[:1]


def test_a_damaged_audit_file_says_what_to_do(table: Audited) -> None:
    table.file.write_text('{"seed": "x"}')
    with pytest.raises(StoreError, match=r"is damaged .* Delete it"):
        Audit(table, seed=0, hours=1)


def test_two_audits_of_a_table_at_once_are_refused(table: Audited) -> None:
    with locked(table.work), pytest.raises(UserError, match="is already running this"):
        Audit(table, seed=0, hours=1).perform()


def test_a_table_of_which_nothing_is_computed_is_refused(tmp_path: Path) -> None:
    file = replace(ablation_file("components", TWO_ROWS), storage=Store(tmp_path / "runs").folder)
    experiment_file.write(file.folder, file)
    with pytest.raises(MissingStages, match=r"nothing of components-shapes-.* is computed yet"):
        Audited.of_folder(file.folder, None, None)


def test_what_was_shown_to_come_back_is_evicted_first(table: Audited) -> None:
    store, order = table.store, [stage for stage in table.records if stage.operation.name == "finetune"]
    assert store is not None
    digests = table.digests()
    known = {
        stage.name: audit_file.Recomputed(digests[stage], True, exact, "", 1.0, "2026-01-01T00:00:00+00:00", 0)
        for stage, exact in zip(order[-2:], (True, False), strict=True)
    }
    audit_file.write(table.file, audit_file.AuditFile(0, [], known))
    found = audit_file.shown_to_come_back(table.store.folder)
    assert found == {order[-2].key: digests[order[-2]]}
    freed = store.gc(0, first=found)
    assert freed.evicted[0] == f"{order[-2].name}/examples.npz"
