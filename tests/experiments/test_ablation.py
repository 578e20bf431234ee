"""What a table wants, as an expression: no torch, milliseconds."""

import pytest

from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.plan import in_order
from dmt_ray.recipes import load

ROWS = {"Baseline": Row("baseline"), "CBST": Row("cbst"), "DMT, DMS 80 %": Row("dmt", {"dms_alpha": 0.8})}
COLUMNS = {"8": Column({"split.labelled": 8}), "16": Column({"split.labelled": 16})}


def unbound(config: Config) -> Config:
    return config


def table(rows=ROWS, columns=COLUMNS, seeds=(0, 1), changes=(), **more) -> Ablation:
    return Ablation(
        question="components",
        title="What is each part worth?",
        recipe="shapes",
        cells=cells("shapes", changes, rows, columns, unbound),
        seeds=seeds,
        reference="Baseline",
        **more,
    )


def test_every_row_stands_in_every_column_for_every_seed():
    names = [one.name for one in table().members()]
    assert len(names) == 3 * 2 * 2
    assert names[:3] == ["Baseline, 8, seed 0", "Baseline, 16, seed 0", "CBST, 8, seed 0"]


def test_a_column_changes_the_recipe_and_a_row_changes_the_column():
    found = {(cell.row, cell.column): cell.config for cell in table(changes=["finetune.epochs=3"]).cells}
    assert found["CBST", "8"].split.labelled == 8
    assert found["DMT, DMS 80 %", "16"].dms_alpha == 0.8
    assert found["CBST", "16"].dms_alpha == 1.0
    assert {config.finetune.epochs for config in found.values()} == {3}


def test_the_changes_of_a_cell_repeat_its_settings():
    for cell in table(changes=["finetune.epochs=3"]).cells:
        assert load(cell.recipe, cell.changes) == cell.config


def test_rows_of_a_seed_share_what_is_equal():
    one = table(columns={"16": Column()}, seeds=(0,))
    baseline, cbst, _ = (wanted.plan for wanted in one.members())
    assert set(baseline.stages()) <= set(cbst.stages())


def test_further_rows_and_seeds_extend_the_same_table_and_other_settings_make_another():
    assert table().name == table(seeds=(0, 1, 2)).name
    assert table().name == table(rows={**ROWS, "DST": Row("dst")}).name
    assert table().name != table(changes=["pretrain.epochs=3"]).name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda: Row("cbts"), "did you mean 'cbst'", id="unknown method"),
        pytest.param(
            lambda: table(rows={"Baseline": Row("baseline", {"weight.gama1": 1})}),
            "Baseline, 8: there is no setting 'weight.gama1'; did you mean 'weight.gamma1'",
            id="unknown setting",
        ),
        pytest.param(lambda: table(seeds=()), "needs distinct seeds", id="no seed"),
        pytest.param(lambda: table(seeds=(1, 1)), "needs distinct seeds", id="a seed twice"),
        pytest.param(lambda: table(rows={"CBST": Row("cbst")}), "'Baseline' is not a row", id="no reference"),
    ],
)
def test_what_cannot_be_tabulated_is_refused(make, words):
    with pytest.raises(ConfigError, match=words.replace("?", ".")):
        make()


def test_the_oracle_of_labelled_ratio_is_the_same_work_in_all_columns():
    from ablations.labelled_ratio import columns, rows

    found = cells("shapes", (), rows(load("shapes")), columns(load("shapes")), unbound)
    assert [cell.column for cell in found[:4]] == ["8 labelled", "16 labelled", "32 labelled", "64 labelled"]
    oracles = {cell.plan(0).rungs[0]["A"].key for cell in found if cell.row == "Oracle"}
    baselines = {cell.plan(0).rungs[0]["A"].key for cell in found if cell.row == "Baseline"}
    assert (len(oracles), len(baselines)) == (1, 4)


def test_fewer_labelled_images_are_seen_for_more_epochs():
    from ablations.labelled_ratio import columns

    found = {name: column.changes for name, column in columns(load("camvid")).items()}
    assert list(found) == ["1/16", "1/8", "1/4", "1/2"]
    assert found["1/8"]["pretrain.epochs"] == 79  # the recipe's own: round(28 x sqrt(8))
    assert found["1/2"]["pretrain.epochs"] == 40  # half of it, for four times as many images


def test_the_columns_of_pascal_voc_are_the_papers():
    from ablations.labelled_ratio import columns

    found = columns(load("voc-1/20"))
    assert {name: (column.recipe, column.paper) for name, column in found.items()} == {
        ratio: (f"voc-{ratio}", ratio) for ratio in ("1/106", "1/50", "1/20", "1/8")
    }


def test_coarse_labels_are_made_only_where_the_data_have_none():
    from ablations.human_labels import rows

    assert "Coarse labels" in rows(load("shapes"))
    assert list(rows(load("voc-1/8"))) == ["Baseline", "DMT", "Oracle"]


def test_what_differs_at_the_start_is_all_that_the_rows_differ_in():
    from ablations.initial_disagreement import ROWS as STARTS

    plans = {cell.row: cell.plan(0) for cell in cells("shapes", (), STARTS, {"": Column()}, unbound)}
    pretrained = {
        row: {stage.config.model.architecture for stage in plan.stages() if stage.operation.name == "pretrain"}
        for row, plan in plans.items()
    }
    assert pretrained["DMT, architecture"] == {"Unet", "FPN"}
    assert pretrained["DMT, seeds"] == {"Unet"}
    shares = {
        row: {stage.config.dms_alpha for stage in in_order(plan.stages()) if stage.operation.name == "pretrain"}
        for row, plan in plans.items()
    }
    assert (shares["DMT, seeds"], shares["DMT, DMS 60 %"]) == ({1.0}, {0.6})


def test_a_row_whose_method_is_not_for_the_data_is_named():
    with pytest.raises(ConfigError, match="RML: methods that train on two views of an image are for segmentation"):
        cells("digits", (), {"RML": Row("rml")}, {"": Column()}, unbound)
