"""The tidy table of a small real ablation, against the store itself."""

import pytest

from dmt_ray.experiments import experiment_file
from dmt_ray.methods import METHODS
from dmt_ray.recipes import named
from dmt_ray.results import tidy
from dmt_ray.results.scores import score, selected
from dmt_ray.store import Store


def test_every_model_at_every_rung_has_its_own_lines(small_ablation):
    folder, _ = small_ablation
    frame = tidy.of_ablation(folder)
    each = frame[(frame.rule == "each") & (frame.metric == "miou") & (frame.images == "reported")]
    found = each[(each.row == "DMT") & (each.seed == 0)]
    assert [(line.model, line.rung) for line in found.itertuples()] == [
        *(("A", 0), ("B", 0), ("A", 1), ("B", 1), ("A", 2), ("B", 2)),
    ]


def test_the_values_are_those_of_the_store(small_ablation):
    folder, store = small_ablation
    file = experiment_file.read(folder)
    frame = tidy.of_ablation(folder)
    for wanted in file.ablation.members():
        mine = frame[(frame.row == wanted.cell.row) & (frame.seed == wanted.seed) & (frame.metric == "miou")]
        for rule, chosen in selected(store, wanted.plan).items():
            for images, value in (("selection", chosen.selection), ("reported", chosen.reported)):
                [line] = mine[(mine.rule == rule) & (mine.images == images)].itertuples()
                assert line.value == pytest.approx(value, abs=1e-12)
                assert (line.rung, line.snapshots) == (chosen.rung, chosen.snapshots)


def test_the_rule_paper_is_never_below_any_model_and_last_chooses_nothing(small_ablation):
    folder, store = small_ablation
    for wanted in experiment_file.read(folder).ablation.members():
        chosen = selected(store, wanted.plan)
        everything = [score(store, one, "reported") for rung in wanted.plan.rungs for one in rung.values()]
        assert chosen["paper"].reported == max(everything)
        assert chosen["val"].snapshots == chosen["paper"].snapshots == len(everything)
        assert chosen["last"].snapshots == 1
        last = [score(store, one, "reported") for one in wanted.plan.rungs[-1].values()]
        assert chosen["last"].reported == pytest.approx(sum(last) / len(last))


def test_a_row_costs_what_all_its_models_cost(small_ablation):
    folder, _ = small_ablation
    frame = tidy.of_ablation(folder)
    steps = frame.groupby(["row", "seed"])["steps"].first()
    # Labelled images, 8 a step, 10 epochs: 10 steps. DMS gives each side 6 of 8, which is one step an epoch, too.
    # Fine-tuning: 16 pseudo-labelled images, 6 a step, 4 epochs: 12 (three a pass), twice, for each model.
    assert steps["Baseline", 0] == 10
    assert steps["CBST", 0] == 10 + 2 * 12
    assert steps["DMT", 0] == 2 * (10 + 2 * 12)
    assert set(frame[frame.row == "DMT"]["models"]) == {2}
    assert (frame["device_seconds"] > 0).all()


def test_what_is_not_there_has_one_line_and_a_command(small_ablation, tmp_path):
    folder, _ = small_ablation
    file = experiment_file.read(folder)
    empty = Store(tmp_path)
    wanted = list(file.ablation.members())
    broken = wanted[-1].plan.stages()[-1]
    frame = tidy.tabulate_ablation(empty, file, {broken.name: "it broke"})
    assert len(frame) == len(wanted)
    assert frame["value"].isna().all()
    states = {(line.row, line.seed): (line.state, line.error) for line in frame.itertuples()}
    assert states[wanted[-1].cell.row, wanted[-1].seed] == ("failed", "it broke")
    assert states["Baseline", 0] == ("missing", "")
    commands = {row: command for row, _, command in frame.attrs["about"]["commands"]}
    assert commands["CBST"] == "python -m ablations.small --seeds 0 1 --set a=1 --rows CBST"


def test_rows_come_in_the_order_of_the_script(small_ablation):
    folder, _ = small_ablation
    frame = tidy.of_ablation(folder)
    assert list(frame["row"].unique()) == ["Baseline", "CBST", "DST", "DMT", "Oracle"]
    assert list(frame[frame.row == "CBST"]["seed"].unique()) == [0, 1]


@pytest.mark.parametrize(("method", "models"), [("dst", 1), ("dmt", 2), ("rml", 2), ("rwms", 4), ("curriculum", 6)])
def test_models_that_only_label_for_others_are_counted_too(method, models):
    assert tidy.models_of(METHODS[method](named("shapes"), 0)) == models
