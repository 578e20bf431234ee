import pytest
import yaml

from dmt_ray.config import (
    Augment,
    Config,
    DisagreementWeight,
    Settings,
    Split,
    Training,
    UniformWeight,
    WeightSettings,
    neutral,
    override,
)
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS, stored_config
from dmt_ray.plan.key import key_of
from dmt_ray.recipes import RECIPES, load, named
from dmt_ray.recipes.plain_yaml import parse


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param("finetune.epoch=3", "'finetune.epoch'; did you mean 'finetune.epochs'", id="misspelt setting"),
        pytest.param(
            "finetun.epochs=3", "^there is no group of settings 'finetun'; did you mean 'finetune'", id="misspelt group"
        ),
        pytest.param("gamma1=3", "'gamma1'; did you mean 'weight.gamma1'", id="setting without its group"),
        pytest.param(
            "warmup=3", "did you mean 'pretrain.warmup' or 'finetune.warmup' or", id="setting of all trainings"
        ),
        pytest.param("schedule.iterations=3", r"no setting: set percentiles, such as percentiles=\[0", id="a schedule"),
        pytest.param(
            "schedule.x=3", "'schedule.x' is a name of searches and no setting: set percent", id="no schedule"
        ),
        pytest.param("label_fraction=0.1", "no setting: set split.labelled", id="label fraction"),
        pytest.param("method=dst", "'method' is .* no setting: choose it by --method", id="method"),
        pytest.param("zzz=3", "known are: coarse, consistency, cotrain, crop, data", id="nothing near"),
        pytest.param(
            "finetune.zzz=3", "known in finetune are: augment, batch, clip_norm", id="nothing near in a group"
        ),
        pytest.param(
            "nonsense.key=1",
            "^there is no group of settings 'nonsense'; known are: consistency, cotrain, data",
            id="no group is near",
        ),
        pytest.param(
            "model.zz.x=1", "no group of settings 'model.zz'; known are: arguments$", id="no group in a group"
        ),
        pytest.param(
            "training.crop=1", "did you mean 'pretrain.augment.crop' or 'fine", id="a setting of other groups"
        ),
        pytest.param("finetune.gamma1=3", "did you mean 'weight.gamma1'", id="a setting of another group"),
        pytest.param(
            "order.first=A", "'order.first': order is a single setting and holds no others", id="a setting as a group"
        ),
        pytest.param("weight.gamma1=-1", "weight.gamma1 must be at least 0, but got -1", id="negative gamma"),
        pytest.param("weight.gamma1=.nan", "weight.gamma1: .*finite", id="gamma not a number"),
        pytest.param(
            "weight.gamma2=high", "weight.gamma2 must be a number, without quotes, but got 'high'", id="gamma a word"
        ),
        pytest.param("weight.rule=disagrement", "no weight rule .*; did you mean 'disagreement'", id="unknown rule"),
        pytest.param(
            "weight.threshold=0.7", "rule 'disagreement' reads gamma1, gamma2, ramp", id="another rule's number"
        ),
        pytest.param("coarse=-1", "coarse must be at least 0, but got -1", id="negative block"),
        pytest.param("dms_alpha=0.5", "dms_alpha must be above 0.5", id="alpha too small"),
        pytest.param("dms_alpha=1.1", "dms_alpha must be at most 1, but", id="alpha too large"),
        pytest.param("percentiles=[0.4, 0.2]", "percentiles must not decrease", id="falling percentiles"),
        pytest.param(
            "percentiles=[0.5, 1.2]", r"^percentiles.1 must be at most 1, but got 1.2$", id="percentile above 1"
        ),
        pytest.param("percentiles=[]", "percentiles must have 1 or more values", id="no percentiles"),
        pytest.param("split.labelled=0", "labelled as a number of images must be at least 1", id="nothing labelled"),
        pytest.param("split.labelled=1.5", "labelled as a fraction must be above 0 and at most 1", id="share above 1"),
        pytest.param("data.name=camvd", "data: .*did you mean 'camvid'", id="unknown data set"),
        pytest.param("finetune.batch=[1,0]", "finetune.batch needs pseudo-labelled images", id="no pseudo labels"),
        pytest.param("pretrain.batch=[4,4]", r"pretrain.batch is \(labelled, 0\)", id="pseudo labels in pretraining"),
        pytest.param("finetune.keep=val", "score_every is needed", id="keep the best of nothing"),
        pytest.param("finetune.augment.scale=[2, 1]", "scale must be an increasing pair", id="falling scale"),
        pytest.param("split.rule=list", "go together", id="list without a file"),
        pytest.param("epochs", "an override reads setting=value", id="no value"),
        pytest.param("percentiles=[0.5", "not valid YAML", id="broken value"),
        pytest.param(
            "split.labelled=true", "split.labelled must be a number of images, .* but got true", id="true for 1"
        ),
        pytest.param(
            "split.selection=true", "split.selection must be a number, but got true", id="true for a fraction"
        ),
        pytest.param(
            "finetune.batch=[true, 7]", "finetune.batch must be a number, but got true", id="true inside a pair"
        ),
        pytest.param("split.labelled=010", "split.labelled: '010' begins with 0", id="octal"),
        pytest.param(
            "weight.gamma1='3'", "weight.gamma1 must be a number, without quotes, but got '3'", id="a number in quotes"
        ),
        pytest.param("finetune.augment.flip=1", "flip must be true or false, but got 1", id="1 for true"),
        pytest.param("finetune.augment.flip=no", "flip: 'no' can mean a word or true and false", id="no for false"),
        pytest.param("crop=big", "^crop must be a number, without quotes, but got 'big'$", id="said once"),
        pytest.param(
            "percentiles=0.5", "percentiles must be a list in brackets, such as .*, but got 0.5", id="no list"
        ),
        pytest.param("model=3", "model must be a group of settings in braces, .*, but got 3", id="no group"),
        pytest.param("finetune.batch=[1, 2, 3]", "finetune.batch must have no more than 2 values", id="too many"),
        pytest.param("finetune.epochs=1.5", "finetune.epochs must be a whole number, but got 1.5", id="a fraction"),
        pytest.param(
            "split.selection=best", "selection must be 'val' or 'valtiny' or be a number, but got 'best'", id="a union"
        ),
        pytest.param("crp=96", "did you mean 'crop'", id="misspelt setting of all trainings"),
    ],
)
def test_a_bad_setting_is_refused_with_what_was_wrong_and_what_would_fit(change, message):
    with pytest.raises(ConfigError, match=message):
        load("shapes", [change])


def test_an_unknown_recipe_names_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'shapes'"):
        load("shaps")


def test_overrides_reach_nested_settings():
    config = load("shapes", ["weight.gamma1=2.5", "finetune.augment.flip=false", "model_b.encoder=resnet34"])
    assert config.weight.gamma1 == 2.5
    assert not config.finetune.augment.flip
    assert (config.model_of("A").encoder, config.model_of("B").encoder) == ("tu-test_resnet", "resnet34")


def test_a_ratio_may_be_written_as_a_fraction():
    assert Split(labelled="1/8").labelled == 0.125


def test_a_yaml_file_starts_from_a_recipe_and_overrides_it(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: shapes\nweight: {gamma1: 4}\nfinetune.epochs: 7\n")
    config = load(str(file))
    assert (config.recipe, config.weight.gamma1, config.finetune.epochs) == ("mine", 4, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("recipe: shapes\nweigth: {gamma1: 4}\n", "did you mean 'weight'", id="misspelt key"),
        pytest.param("weight: {gamma1: 4}\n", "name the recipe it starts from", id="no recipe"),
        pytest.param("- 1\n", "name the recipe it starts from", id="a list"),
        pytest.param("a: [1\n", "not valid YAML", id="broken"),
        pytest.param("recipe: !!python/object:os.system x\n", "the tag .*os.system is not read", id="code"),
        pytest.param(
            "recipe: shapes\ndata: {size: [8, 8]}\ndata: {size: [9, 9]}\n",
            "mine.yaml: 'data' is set twice, in lines 2 and 3",
            id="a block twice",
        ),
        pytest.param(
            "recipe: shapes\nweight:\n  gamma1: 1\n  gamma1: 2\n", "'gamma1' is set twice, in lines 3 and 4", id="inner"
        ),
        pytest.param(
            "recipe: shapes\nweight: {gamma1: 1}\nweight.gamma1: 2\n", "'weight.gamma1' is set twice", id="dotted"
        ),
    ],
)
def test_a_bad_yaml_file_is_refused(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(str(file))


def test_a_missing_yaml_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the recipe file .*No such file"):
        load(str(tmp_path / "none.yaml"))


# YAML 1.1 reads all of them as something else than text.
@pytest.mark.parametrize(
    "word",
    [
        *("yes", "No", "on", "OFF", "010", "08", "-007.5", "1_000", "1:30", "12:30:45", "0x1F", "0o17", "0b11"),
        *(".nan", "nan", ".inf", "-.inf", "infinity", "2024-01-31", "=", "<<"),
    ],
)
def test_a_word_that_yaml_reads_as_something_else_is_refused_and_is_text_in_quotes(word):
    with pytest.raises(ConfigError, match="put quotes around it"):
        parse(f"a: [{word}]")
    assert parse(f"a: ['{word}']") == {"a": [word]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            ("true", True),
            ("~", None),
            ("0", 0),
            ("-3", -3),
            ("0.5", 0.5),
            (".5", 0.5),
            ("1e-3", 0.001),
            ("1/8", "1/8"),
        ),
        *(
            ("1.0e-05", 1e-5),
            ("norm", "norm"),
            ("10.0.0.1", "10.0.0.1"),
            ("tu-resnet18", "tu-resnet18"),
            ("7up", "7up"),
        ),
    ],
)
def test_plain_words_are_read_as_they_look(text, value):
    assert parse(text) == value
    assert type(parse(text)) is type(value)


def crops(config: Config) -> dict[str, tuple[int, int]]:
    return {name: training.augment.crop for name, training in config.trainings().items()}


def test_one_setting_crops_for_all_trainings_but_those_that_have_one_of_their_own():
    everywhere = dict.fromkeys(("pretrain", "finetune", "online", "cotrain", "retrain", "oracle"), (96, 96))
    assert crops(load("shapes", ["crop=96"])) == everywhere
    expected = everywhere | {"oracle": (48, 64)}
    assert crops(load("shapes", ["crop=96", "oracle.augment.crop=[48, 64]"])) == expected
    assert crops(load("shapes", ["oracle.augment.crop=[48, 64]", "crop=96"])) == expected


def test_a_file_sets_scale_and_precision_of_all_trainings_once(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "recipe: folder\nscale: [1, 2]\nprecision: bfloat16\noracle: {precision: float32}\ncotrain.epochs: 2\n"
    )
    config = load(str(file))
    assert {training.augment.scale for training in config.trainings().values()} == {(1, 2)}
    assert (config.cotrain.precision, config.oracle.precision) == ("bfloat16", "float32")


def test_a_crop_that_is_set_for_all_leaves_the_key_as_if_it_were_set_for_each():
    of_each = [f"{name}.augment.crop=[32, 32]" for name in named("shapes").trainings()]
    assert load("shapes", ["crop=32"]).identity() == load("shapes", of_each).identity()
    assert load("shapes", ["crop=64"]).identity() == named("shapes").identity()


def test_the_settings_of_a_run_are_a_recipe(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("recipe: shapes\npretrain: {epochs: 1}\nweight: {rule: uniform}\n")
    config = load(str(mine))
    written = tmp_path / "config.yaml"
    written.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    assert load(str(written)) == config
    assert load(str(written), ["pretrain.epochs=2"]).pretrain.epochs == 2


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        named("shapes").weight = UniformWeight()  # type: ignore[misc]


# What every key of earlier versions holds, but for the revision of what gives other numbers since.
@pytest.mark.parametrize(
    ("rule", "identity"),
    [
        ("disagreement", {"gamma1": 5.0, "gamma2": 5.0}),
        ("confidence", {"gamma1": 5.0}),
        ("flip", {"gamma1": 5.0, "gamma2": 5.0}),
        ("uniform", {}),
        ("online", {"threshold": 0.9}),
        ("rising", {"rise_start": 0.1, "rise_end": 0.6, "alpha_f": 3.0, "revision": 2}),
        ("rank", {"a": 1.0, "b": 0.5}),
    ],
)
def test_a_key_sees_what_the_rule_reads(rule, identity):
    assert WeightSettings.parse({"rule": rule}).identity() == {"rule": rule, **identity}


def test_a_key_sees_a_ramp_where_there_is_one():
    assert DisagreementWeight(ramp=True).identity() == DisagreementWeight().identity() | {"ramp": True}


def test_another_rule_keeps_the_numbers_that_both_read():
    config = named("shapes").with_weight(gamma1=2, gamma2=3, ramp=True)
    assert config.with_weight(rule="confidence").weight.numbers() == {"gamma1": 2, "ramp": True}
    assert override(config, {"weight.rule": "flip"}).weight.numbers() == config.weight.numbers()
    assert load("shapes", ["weight.gamma1=1", "weight.rule=confidence"]).weight.numbers() == {
        "gamma1": 1,
        "ramp": False,
    }
    assert config.with_weight(rule="uniform").weight == UniformWeight()


def test_a_rise_that_ends_before_it_starts_is_refused():
    with pytest.raises(ConfigError, match=r"weight.rise_start must not lie behind rise_end, but got 0.7 and 0.6"):
        load("shapes", ["weight.rule=rising", "weight.rise_start=0.7"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["weight.rule=uniform", "weight.gamma1=3"], "'weight.gamma1': the weight rule 'uniform' reads no numbers"),
        (["weight.rule=confidence", "weight.gamma2=3"], "the weight rule 'confidence' reads gamma1, ramp"),
        (["weight.rule=rank", "weight.a=-1"], "weight.a must be at least 0, but got -1"),
        (["weight.rule=online", "weight.threshold=1.5"], "weight.threshold must be at most 1, but got 1.5"),
    ],
)
def test_a_number_that_a_rule_cannot_take_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        load("shapes", changes)


STORED = {"gamma1": 3.0, "gamma2": 4.0, "threshold": 0.8, "rise_start": 0.1, "rise_end": 0.6, "alpha_f": 3.0}
STORED |= {"a": 1.0, "b": 0.5, "ramp": False}  # all numbers, as every file of earlier versions has them


@pytest.mark.parametrize(
    ("rule", "method", "expected"),
    [
        pytest.param("disagreement", "dmt", {"gamma1": 3, "gamma2": 4, "ramp": False}, id="the rule's own numbers"),
        pytest.param("uniform", "dmt", {}, id="no numbers"),
        pytest.param("disagreement", "online_st", {"threshold": 0.8}, id="a number that was set for the method's rule"),
        pytest.param("disagreement", "rwms", {"gamma1": 3, "gamma2": 4, "ramp": False}, id="nothing was set for it"),
    ],
)
def test_a_config_of_an_earlier_version_is_read(rule, method, expected):
    values = named("shapes").model_dump(mode="json") | {"weight": {"rule": rule, **STORED}}
    assert stored_config(METHODS[method], values).weight.numbers() == expected


def test_where_the_weights_lie_is_not_their_identity():
    model = named("shapes").model
    here, there = (model.evolve(weights_file=file, weights_digest="ab") for file in ("a.safetensors", "b.safetensors"))
    assert here.identity() == there.identity()
    assert here.identity() != model.evolve(weights_digest="cd").identity()


def test_a_neutral_field_leaves_old_keys_alone():
    class Old(Settings):
        a: int = 1

    class New(Settings):
        a: int = 1
        b: int = neutral(0)

    assert key_of(New().identity()) == key_of(Old().identity())
    assert key_of(New(b=1).identity()) != key_of(Old().identity())


# DMT Table 1, and the authors' code (DST-CBC) for what the table leaves out
@pytest.mark.parametrize(
    ("recipe", "gammas", "rates", "epochs", "batch"),
    [
        ("voc-1/8", 5, (2e-3, 1e-3), (85, 5), (1, 7)),
        ("voc-1/20", 5, (2e-3, 1e-3), (134, 4), (1, 7)),
        ("voc-1/50", 5, (2e-3, 1e-3), (134, 4), (1, 7)),
        ("voc-1/106", 5, (2e-3, 1e-3), (300, 4), (1, 7)),
        ("cityscapes-1/8", 3, (4e-3, 4e-3), (170, 10), (2, 6)),
        ("cityscapes-1/30", 3, (4e-3, 4e-3), (327, 8), (1, 7)),
    ],
)
def test_the_papers_recipes_say_what_the_papers_say(recipe, gammas, rates, epochs, batch):
    cfg = named(recipe)
    assert cfg.recipe == recipe
    assert (cfg.weight.rule, cfg.weight.gamma1, cfg.weight.gamma2) == ("disagreement", gammas, gammas)
    assert (cfg.pretrain.learning_rate, cfg.finetune.learning_rate) == rates
    assert (cfg.pretrain.epochs, cfg.finetune.epochs) == epochs
    assert (cfg.pretrain.batch, cfg.finetune.batch) == ((8, 0), batch)
    assert cfg.percentiles == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert (cfg.finetune.momentum, cfg.finetune.weight_decay, cfg.finetune.poly_power) == (0.9, 5e-4, 0.9)
    assert cfg.finetune.augment.scale == (0.5, 1.5)
    assert cfg.finetune.augment.crop == ((321, 321) if recipe.startswith("voc") else (256, 512))
    assert cfg.split.rule == "authors"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_survives_being_written_and_read(recipe):
    config = named(recipe)
    assert Config(**config.model_dump(mode="json")) == config


def test_training_checks_itself():
    with pytest.raises(ConfigError, match=r"learning_rate must be above 0, but got 0"):
        Training(epochs=1, learning_rate=0, batch=(1, 0), augment=Augment(crop=(8, 8)))
    with pytest.raises(ConfigError, match="'epochs' must be set in Training"):
        Training(learning_rate=1, batch=(1, 0), augment=Augment(crop=(8, 8)))


def test_an_override_of_another_data_set_replaces_all_of_it():
    changed = override(named("shapes"), {"data": {"name": "voc"}})
    assert (changed.data.name, changed.data.reported) == ("voc", "val")


def test_the_settings_of_a_data_set_are_found_by_the_name_of_their_class():
    from dmt_ray import config
    from dmt_ray.config import FolderData

    assert FolderData(classes=("cell", "background")).name == "folder"
    with pytest.raises(AttributeError, match="has no attribute 'FoldedData'"):
        _ = config.FoldedData
