"""The best trial and the recipe on fresh seeds: paired statistics by hand, and a real run on a few small pictures."""

import csv
import json
import math

import pytest
from rich.console import Console

from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.plan import Stage, in_order
from dmt_ray.recipes import load
from dmt_ray.report import confirmation as shown
from dmt_ray.report.titles import mean_text
from dmt_ray.search import confirm
from dmt_ray.search.confirm import Confirmation, confirmation, difference
from dmt_ray.store import Store

G1, METHOD = "weight.gamma1", "method"
SPACE = {G1: Uniform(0, 8), METHOD: Choice("dmt", "dst")}
# Of each seed: the recipe's validation mIoU; the winner's is 1, 2, 3 points above it, and 4 on the searched seed.
RECIPE = {0: 0.40, 5: 0.41, 6: 0.43, 7: 0.42}
GAIN = {0: 0.04, 5: 0.01, 6: 0.02, 7: 0.03}
# The 0.975 quantile of Student's t with 2 degrees of freedom, from any table.
T = 4.302653


def a_sweep(*changes: str) -> Sweep:
    return Sweep("a_search", "What?", load("shapes", ["percentiles=[1.0]", *changes]), "dmt", SPACE, (0,))


def a_trial(number: int, gamma: float, method: str, score: float, state: str = "complete") -> Trial:
    return Trial(number, {G1: gamma, METHOD: method}, state, {0: 0.3, 1: score})  # type: ignore[arg-type]


WINNER = a_trial(3, 2.0, "dst", 0.44)


def write(store: Store, evaluation: Stage, score: float) -> None:
    """An evaluation with this validation mIoU, and 0.1 less on the test images; what it was made from is empty."""
    for made_from in in_order([evaluation])[:-1]:
        if not store.has(made_from):
            with store.write(made_from, {}):
                pass
    if not store.has(evaluation):
        with store.write(evaluation, {}) as folder:
            scores = {"selection": {"miou": score}, "reported": {"miou": score - 0.1}}
            (folder / "metrics.json").write_text(json.dumps(scores))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def confirmed(store) -> Confirmation:
    found = Confirmation(a_sweep(), WINNER, (5, 6, 7))
    winner, recipe = found.candidates()
    for seed, score in RECIPE.items():
        for evaluation in winner.plan(seed).rungs[-1].values():
            write(store, evaluation, score + GAIN[seed])
        for evaluation in recipe.plan(seed).rungs[-1].values() if seed else ():
            write(store, evaluation, score)
    return found


# ---- the statistics --------------------------------------------------------------------------------------------


def test_a_paired_difference_and_its_t_interval():
    found = difference([0.42, 0.45, 0.45], [0.41, 0.43, 0.42])  # 1, 2, 3 points: mean 2, sd 1
    assert found["mean"] == pytest.approx(0.02)
    side = T * 0.01 / math.sqrt(3)
    assert (found["low"], found["high"]) == (pytest.approx(0.02 - side), pytest.approx(0.02 + side))
    assert found["n"] == 3


def test_one_pair_has_no_interval():
    assert difference([0.5], [0.25]) == {"mean": 0.25, "low": None, "high": None, "n": 1}


@pytest.mark.parametrize(
    ("scores", "text"),
    [([0.41, 0.42, 0.43], "42.00 ± 1.00 (n=3)"), ([0.5], "50.00 (n=1)"), ([], "–")],
    ids=["three", "one has no spread", "none"],
)
def test_mean_and_sample_standard_deviation(scores, text):
    assert mean_text(scores) == text


# ---- who is run again ------------------------------------------------------------------------------------------


def test_the_best_trial_and_the_recipe_are_run_again():
    trials = [a_trial(0, 0.5, "dmt", 0.40), WINNER, a_trial(4, 1.0, "dst", 0.99, "pruned")]
    found = confirmation(a_sweep(), trials, [6, 5])
    assert found.winner == WINNER
    assert found.seeds == (5, 6)
    winner, recipe = found.candidates()
    assert (winner.method, winner.config.weight.gamma1) == ("dst", 2.0)
    assert (recipe.method, recipe.config) == ("dmt", a_sweep().config)
    assert {stage.seed for stage in found.stages()} == {5, 6}


def test_there_is_nothing_to_run_without_a_complete_trial():
    assert confirmation(a_sweep(), [a_trial(0, 1, "dmt", 0.5, "pruned")], [5]) is None


def test_a_recipe_that_won_is_compared_with_nothing(store):
    own = Trial(0, {G1: 0.5, METHOD: "dmt"}, "complete", {1: 0.5})
    found = Confirmation(a_sweep(), own, (5,))
    assert [candidate.name for candidate in found.candidates()] == ["winner"]
    assert "is the recipe itself" in shown.difference_text(confirm.result(found, store))


# ---- what is shown ---------------------------------------------------------------------------------------------


def test_both_scores_are_written_down(confirmed, store, tmp_path):
    confirm.write(tmp_path, confirm.result(confirmed, store))
    found = json.loads((tmp_path / "confirm.json").read_text())
    assert (found["searched_seeds"], found["fresh_seeds"]) == ([0], [5, 6, 7])
    assert found["winner"] == {
        "trial": 3,
        "params": {G1: 2.0, METHOD: "dst"},
        "method": "dst",
        "settings": {G1: 2.0},
    }
    assert confirm.scores_of(found, "winner", "selection", searched=True) == [pytest.approx(0.44)]
    assert confirm.scores_of(found, "recipe", "selection", searched=True) == []  # was no point of the search
    for rule in ("selection", "reported"):
        assert found["difference"][rule]["mean"] == pytest.approx(0.02)
        assert found["difference"][rule]["n"] == 3
    rows = list(csv.DictReader((tmp_path / "confirm.csv").read_text().splitlines()))
    assert [(row["who"], row["seed"], row["searched"]) for row in rows] == [
        ("winner", "0", "true"),
        *(("winner", seed, "false") for seed in "567"),
        *(("recipe", seed, "false") for seed in "567"),
    ]
    assert float(rows[-1]["reported_miou"]) == pytest.approx(0.32)


def test_a_person_reads_both_scores_and_the_difference(confirmed, store, tmp_path, capsys):
    confirm.write(tmp_path, confirm.result(confirmed, store))
    shown.show(Console(width=150), confirmed, tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "trial 3, gamma1=2 method=dst" in said
    assert "winner │ 44.00 (n=1) │ 44.00 ± 1.73 (n=3) │ 34.00 ± 1.73 (n=3)" in said
    assert "recipe │ – │ 42.00 ± 1.00 (n=3) │ 32.00 ± 1.00 (n=3)" in said
    assert "validation +2.00, 95 % t interval [-0.48, +4.48]" in said
    page = shown.markdown(tmp_path)
    assert "| winner | 44.00 (n=1) | 44.00 ± 1.73 (n=3) | 34.00 ± 1.73 (n=3) |" in page


def test_a_page_says_nothing_of_what_was_not_confirmed(tmp_path):
    assert shown.markdown(tmp_path) == ""


def test_the_runs_can_be_published(confirmed):
    runs = confirmed.runs()
    assert [(run.method, run.seed) for run in runs] == [(method, s) for method in ("dst", "dmt") for s in (5, 6, 7)]
    assert len({run.name for run in runs}) == 6


# ---- looks -----------------------------------------------------------------------------------------------------


def with_looks(store: Store, gains: list[float], looks: tuple[int, ...]) -> Confirmation:
    """The confirmation that is to be performed next, where the winner has gained so much on the seeds 5, 6, ..."""
    winner, recipe = Confirmation(a_sweep(), WINNER, (5,)).candidates()
    for seed, gain in enumerate(gains, 5):
        for candidate, score in ((winner, 0.4 + gain), (recipe, 0.4)):
            for evaluation in candidate.plan(seed).rungs[-1].values():
                write(store, evaluation, score)
    return confirmation(a_sweep(), [WINNER], range(5, 5 + looks[-1]), looks, store)


def test_seeds_are_added_until_winner_and_recipe_are_told_apart(store, monkeypatch):
    monkeypatch.setattr(Confirmation, "stages", lambda self: [e for group in self.groups() for e in group[-1:]])
    assert with_looks(store, [], (2, 4, 6)).seeds == (5, 6)
    assert with_looks(store, [0.01, -0.02], (2, 4, 6)).seeds == (5, 6, 7, 8)
    assert with_looks(store, [0.01, -0.02, 0.02, 0.00], (2, 4, 6)).seeds == (5, 6, 7, 8, 9, 10)


def test_a_difference_that_is_plain_at_the_first_look_gets_no_more_seeds(store, tmp_path, monkeypatch):
    monkeypatch.setattr(Confirmation, "stages", lambda self: [e for group in self.groups() for e in group[-1:]])
    found = with_looks(store, [0.020, 0.021, 0.020], (3, 6))
    assert found.seeds == (5, 6, 7)
    content = confirm.result(found, store)
    assert content["looks"] == {"seeds": [3, 6], "decided": 0, "needed": None}
    text = shown.difference_text(content)
    assert "95 % interval of all looks [" in text
    assert text.endswith("decided at 3 seeds (look 1 of 2)")


def test_an_open_confirmation_says_how_many_seeds_would_do(store, monkeypatch):
    monkeypatch.setattr(Confirmation, "stages", lambda self: [e for group in self.groups() for e in group[-1:]])
    found = with_looks(store, [0.01, -0.02, 0.02, 0.01], (2, 4))
    assert found.seeds == (5, 6, 7, 8)
    # mean 0.5 points, sd 1.7: three times what one pair scatters
    assert "; open; about " in shown.difference_text(confirm.result(found, store))
