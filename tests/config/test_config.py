import pytest

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param("finetune.epoch=3", "'finetune.epoch'; did you mean 'epochs'", id="misspelt setting"),
        pytest.param("finetun.epochs=3", "'finetun'; did you mean 'finetune'", id="misspelt group"),
        pytest.param("zzz=3", "known are: coarse, consistency, cotrain, data", id="nothing near"),
        pytest.param(
            "weight.gamma1=-1", "weight.gamma1: .*greater than or equal to 0, but got -1", id="negative gamma"
        ),
        pytest.param("weight.gamma1=.nan", "weight.gamma1: .*finite", id="gamma not a number"),
        pytest.param("weight.gamma2=high", "weight.gamma2: .*valid number.*'high'", id="gamma a word"),
        pytest.param("weight.rule=disagrement", "no weight rule .*; did you mean 'disagreement'", id="unknown rule"),
        pytest.param(
            "weight.threshold=0.7", "rule 'disagreement' reads gamma1, gamma2, ramp", id="another rule's number"
        ),
        pytest.param("coarse=-1", "coarse: .*greater than or equal to 0, but got -1", id="negative block"),
        pytest.param("dms_alpha=0.5", "dms_alpha: .*greater than 0.5", id="alpha too small"),
        pytest.param("dms_alpha=1.1", "dms_alpha: .*less than or equal to 1", id="alpha too large"),
        pytest.param("percentiles=[0.4, 0.2]", "percentiles must not fall", id="falling percentiles"),
        pytest.param("percentiles=[0.5, 1.2]", r"percentiles must not fall.*\(0.5, 1.2\)", id="percentile above 1"),
        pytest.param("percentiles=[]", "percentiles: .*at least 1 item", id="no percentiles"),
        pytest.param("split.labelled=0", "labelled as a number of images must be at least 1", id="nothing labelled"),
        pytest.param("split.labelled=1.5", "labelled as a fraction must be above 0 and at most 1", id="share above 1"),
        pytest.param("data.name=camvd", "data: .*did you mean 'camvid'", id="unknown data set"),
        pytest.param("finetune.batch=[1,0]", "finetune.batch needs pseudo-labelled images", id="no pseudo labels"),
        pytest.param("pretrain.batch=[4,4]", r"pretrain.batch is \(labelled, 0\)", id="pseudo labels in pretraining"),
        pytest.param("finetune.keep=val", "score_every is needed", id="keep the best of nothing"),
        pytest.param("finetune.augment.scale=[2, 1]", "scale must be a rising pair", id="falling scale"),
        pytest.param("split.rule=list", "belong together", id="list without a file"),
        pytest.param("epochs", "an override reads setting=value", id="no value"),
        pytest.param("percentiles=[0.5", "not valid YAML", id="broken value"),
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
        pytest.param("recipe: !!python/object:os.system x\n", "not valid YAML", id="code"),
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


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        named("shapes").weight = UniformWeight()  # type: ignore[misc]


# What every key of earlier versions holds.
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
    with pytest.raises(ConfigError, match=r"weight: rise_start must not lie behind rise_end, but got 0.7 and 0.6"):
        load("shapes", ["weight.rule=rising", "weight.rise_start=0.7"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["weight.rule=uniform", "weight.gamma1=3"], "'weight.gamma1': the weight rule 'uniform' reads no numbers"),
        (["weight.rule=confidence", "weight.gamma2=3"], "the weight rule 'confidence' reads gamma1, ramp"),
        (["weight.rule=rank", "weight.a=-1"], "weight.a: .*greater than or equal to 0, but got -1"),
        (["weight.rule=online", "weight.threshold=1.5"], "weight.threshold: .*less than or equal to 1, but got 1.5"),
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
    with pytest.raises(ConfigError, match=r"learning_rate: .*greater than 0"):
        Training(epochs=1, learning_rate=0, batch=(1, 0), augment=Augment(crop=(8, 8)))
    with pytest.raises(ConfigError, match="'epochs' must be set in Training"):
        Training(learning_rate=1, batch=(1, 0), augment=Augment(crop=(8, 8)))


def test_an_override_of_another_data_set_replaces_all_of_it():
    changed = override(named("shapes"), {"data": {"name": "voc"}})
    assert (changed.data.name, changed.data.reported) == ("voc", "val")
