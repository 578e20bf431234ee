"""Optuna's storage for the one process that goes on with a sweep: what it has written it does not read again.

Optuna keeps trials that have ended in memory, but reads running ones from the database each time it proposes a point,
as other processes might have changed them. A sweep's lock says that there are none.
"""

import copy
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dmt_ray.execution.ray_private import attempt_id


class OwnedStorage(BaseStorage):
    """Writes through to another storage, and reads trials from memory.

    A trial that was handed out never changes: a write replaces it by a changed copy. So nothing is copied on reading,
    whether `deepcopy` is asked for or not: treat trials as read-only.

    Args:
        behind: The storage that keeps everything; nobody else may write to it from now on.
    """

    def __init__(self, behind: BaseStorage) -> None:
        self._behind = behind
        self._studies: dict[int, dict[int, FrozenTrial]] = {}  # study -> id of a trial -> trial, by number
        self._study_of: dict[int, int] = {}  # id of a trial -> study

    # ---- studies -------------------------------------------------------------------------------------------------

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Begin a study; its id."""
        return self._behind.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Delete a study."""
        self._behind.delete_study(study_id)
        self._studies.pop(study_id, None)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study."""
        self._behind.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study for Optuna's own use."""
        self._behind.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of a study."""
        return self._behind.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name of a study."""
        return self._behind.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """What is maximised and minimised."""
        return self._behind.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes of a study."""
        return self._behind.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes of a study for Optuna's own use."""
        return self._behind.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[Any]:
        """All studies."""
        return self._behind.get_all_studies()

    # ---- trials --------------------------------------------------------------------------------------------------

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin a trial; its id."""
        known = self._of(study_id)
        trial_id = self._behind.create_new_trial(study_id, template_trial)
        known[trial_id], self._study_of[trial_id] = self._behind.get_trial(trial_id), study_id
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Note what was proposed."""
        self._behind.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        trial = self._changed(trial_id)
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}
        trial.distributions = {**trial.distributions, param_name: distribution}

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Begin a trial that waited, or end one; whether that was possible."""
        done = self._behind.set_trial_state_values(trial_id, state, values)
        self._all(trial_id)[trial_id] = self._behind.get_trial(trial_id)  # with its times
        return done

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Note a score on the way."""
        self._behind.set_trial_intermediate_value(trial_id, step, intermediate_value)
        trial = self._changed(trial_id)
        trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        self._behind.set_trial_user_attr(trial_id, key, value)
        trial = self._changed(trial_id)
        trial.user_attrs = {**trial.user_attrs, key: value}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial for Optuna's own use."""
        self._behind.set_trial_system_attr(trial_id, key, value)
        trial = self._changed(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial as it is now."""
        return self._all(trial_id)[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials in some states, or all, by number."""
        return [trial for trial in self._of(study_id).values() if states is None or trial.state in states]

    def _of(self, study_id: int) -> dict[int, FrozenTrial]:
        if study_id not in self._studies:
            trials = self._behind.get_all_trials(study_id, deepcopy=False)
            self._studies[study_id] = {attempt_id(trial): trial for trial in trials}
            self._study_of |= dict.fromkeys(self._studies[study_id], study_id)
        return self._studies[study_id]

    def _all(self, trial_id: int) -> dict[int, FrozenTrial]:
        if trial_id not in self._study_of:
            for study in self._behind.get_all_studies():
                self._of(self._behind.get_study_id_from_name(study.study_name))
        return self._of(self._study_of[trial_id])

    def _changed(self, trial_id: int) -> FrozenTrial:
        """A copy of a trial, in its place, to be changed."""
        known = self._all(trial_id)
        known[trial_id] = copy.copy(known[trial_id])
        return known[trial_id]
