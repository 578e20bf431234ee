"""The driver's view of its study in memory is the one that is on disk, and reading it asks the database nothing."""

from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from dmt_ray.experiments.trials import open_storage
from dmt_ray.search.owned_storage import OwnedStorage


class Counting(InMemoryStorage):
    """Counts how often trials are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def get_trial(self, trial_id):
        self.read["one"] += 1
        return super().get_trial(trial_id)

    def get_all_trials(self, study_id, deepcopy=True, states=None):
        self.read["all"] += 1
        return super().get_all_trials(study_id, deepcopy, states)


def seen(study: optuna.Study) -> list[tuple]:
    return [
        (t.number, t.state, t.params, t.distributions, t.values, t.intermediate_values, t.user_attrs, t.system_attrs,
         t.datetime_start, t.datetime_complete)
        for t in study.get_trials(deepcopy=False)
    ]  # fmt: skip


def test_what_is_in_memory_is_what_another_process_reads_from_the_disk(tmp_path: Path) -> None:
    study = optuna.create_study(
        study_name="s", storage=OwnedStorage(open_storage(tmp_path)), sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.enqueue_trial({"x": 0.25})
    for number in range(5):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_int("n", 1, 5)
        trial.suggest_categorical("c", ["a", "b"])
        trial.report(0.1 * number, 0)
        trial.set_user_attr("about", number)
        if number == 1:
            study.tell(trial, state=TrialState.PRUNED)
        elif number != 3:  # which goes on running
            study.tell(trial, 0.5)
    behind = optuna.load_study(study_name="s", storage=open_storage(tmp_path))
    assert seen(study) == seen(behind)
    again = optuna.load_study(study_name="s", storage=OwnedStorage(open_storage(tmp_path)))
    assert seen(again) == seen(behind)
    assert [trial.state.name for trial in again.get_trials(states=[TrialState.RUNNING])] == ["RUNNING"]


def test_running_trials_are_not_read_again() -> None:
    behind = Counting()
    study = optuna.create_study(storage=OwnedStorage(behind), sampler=optuna.samplers.TPESampler(seed=0))

    def reads_of_a_proposal() -> int:
        before = behind.read.total()
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(0.5, 0)
        return behind.read.total() - before

    first = [reads_of_a_proposal() for _ in range(3)]
    for _ in range(20):
        study.ask()
    assert reads_of_a_proposal() == first[-1] <= 2
    assert behind.read["all"] == 1


def test_a_trial_that_was_read_does_not_change_under_its_reader() -> None:
    storage = OwnedStorage(InMemoryStorage())
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "s")
    trial = storage.create_new_trial(study)
    before = storage.get_trial(trial)
    storage.set_trial_param(trial, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_param(trial, "n", 2, IntDistribution(1, 3))
    storage.set_trial_intermediate_value(trial, 0, 0.25)
    assert (before.params, before.intermediate_values) == ({}, {})
    after = storage.get_trial(trial)
    assert (after.params, after.intermediate_values) == ({"x": 0.5, "n": 2}, {0: 0.25})


def test_a_trial_that_has_ended_refuses_further_scores() -> None:
    storage = OwnedStorage(InMemoryStorage())
    trial = storage.create_new_trial(storage.create_new_study([StudyDirection.MAXIMIZE], "s"))
    storage.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_intermediate_value(trial, 0, 0.25)
    assert storage.get_trial(trial).intermediate_values == {}
