import pytest

from dmt_ray.config import Augment, Config, Settings, Split, Training, Weight, neutral, override
from dmt_ray.errors import ConfigError
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
        pytest.param("weight.rule=dynamic", "weight.rule: .*'disagreement', 'confidence'", id="unknown rule"),
        pytest.param("weight.rise_start=0.7", "weight: rise_start must not lie .* 0.7 and 0.6", id="turned rise"),
        pytest.param("coarse=-1", "coarse: .*greater than or equal to 0, but got -1", id="negative block"),
        pytest.param("dms_alpha=0.5", "dms_alpha: .*greater than 0.5", id="alpha too small"),
        pytest.param("dms_alpha=1.1", "dms_alpha: .*less than or equal to 1", id="alpha too large"),
        pytest.param("percentiles=[0.4, 0.2]", "percentiles must not fall", id="falling percentiles"),
        pytest.param("percentiles=[0.5, 1.2]", r"percentiles must not fall.*\(0.5, 1.2\)", id="percentile above 1"),
        pytest.param("percentiles=[]", "percentiles: .*at least 1 item", id="no percentiles"),
        pytest.param("split.labelled=0", "labelled as a number of images must be at least 1", id="nothing labelled"),
        pytest.param("split.labelled=1.5", "labelled as a share must be above 0 and at most 1", id="share above 1"),
        pytest.param("data.name=camvd", "data: .*'camvid'", id="unknown data set"),
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
        named("shapes").weight = Weight()  # type: ignore[misc]


def test_cbst_is_the_same_for_every_gamma():
    assert Weight(rule="uniform", gamma1=1).identity() == Weight(rule="uniform", gamma1=5).identity()


def test_pseudo_label_reads_its_rise_and_no_other_rule_does():
    changes = dict(rise_start=0.2, rise_end=0.3, alpha_f=1)
    assert Weight(rule="rising", gamma1=1, gamma2=1, threshold=0.5).identity() == Weight(rule="rising").identity()
    for name, value in changes.items():
        assert Weight(rule="rising", **{name: value}).identity() != Weight(rule="rising").identity()
    for rule in ("disagreement", "confidence", "flip", "uniform", "online"):
        assert Weight(rule=rule, **changes).identity() == Weight(rule=rule).identity()


def test_naive_does_not_read_gamma2():
    assert Weight(rule="confidence", gamma2=1).identity() == Weight(rule="confidence", gamma2=5).identity()


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
