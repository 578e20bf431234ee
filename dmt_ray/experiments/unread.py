"""Overrides that change nothing: settings that no plan of an experiment reads."""

from collections.abc import Callable, Iterable, Sequence

from dmt_ray.config import Config, Settings
from dmt_ray.errors import ConfigError
from dmt_ray.plan import Plan

Work = tuple[Iterable[Config], Iterable[Plan]]


def unread(changes: Sequence[str], work_with: Callable[[Sequence[str]], Work], own: int = 0) -> list[str]:
    """The overrides that leave all stages as they are, though they change the settings.

    Args:
        changes: Overrides as they were given, such as "finetune.epochs=3".
        work_with: The settings and the plans of the experiment with some of the overrides.
        own: So many of the first ones belong to the experiment, and are not looked at.
    """
    if len(changes) == own:
        return []
    configs, stages = _read(work_with(changes))
    found = []
    for i, change in enumerate(changes[own:], own):
        try:
            other_configs, other_stages = _read(work_with([*changes[:i], *changes[i + 1 :]]))
        except ConfigError:  # another override depends on this one, which is therefore read
            continue
        if other_stages == stages and other_configs != configs:
            found.append(change)
    return found


def _read(work: Work) -> tuple[list[Config], list[tuple[str, Settings]]]:
    """The settings, and all of them that the stages read: also what does not enter a key."""
    configs, plans = work
    stages = {stage.key: stage for plan in plans for stage in plan.stages()}
    return list(configs), [(key, stage.config) for key, stage in stages.items()]
