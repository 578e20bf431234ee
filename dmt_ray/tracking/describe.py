"""What runs are called and what stands beside their metrics: names, parameters, tags, descriptions."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dmt_ray.config import Config, Settings
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Params, Sweep, Trial, short
from dmt_ray.plan import Plan, Stage
from dmt_ray.store import Store
from dmt_ray.tracking.results import SweepResults

NOTE = "mlflow.note.content"  # MLflow shows it as the description
COMMIT = "mlflow.source.git.commit"
PACKAGES = ("dmt-ray", "torch", "segmentation-models-pytorch", "ray", "optuna", "mlflow")


def settings_name(params: Params) -> str:
    """The searched settings as a name that reads like a row of a table: "gamma1=5 gamma2=5"."""
    return " ".join(
        f"{short(setting)}={value if isinstance(value, str) else format(value, '.4g')}"
        for setting, value in params.items()
    )


def params(config: Config, **further: object) -> dict[str, str]:
    """All settings that are set, flat and dotted; without newer ones that are as they always were."""
    return {name: str(value) for name, value in further.items()} | dict(_flat(config, ""))


def _flat(settings: Settings, prefix: str) -> Iterable[tuple[str, str]]:
    plain = settings.model_dump(mode="json")
    for name, value in settings:
        if settings.is_neutral(name):
            continue
        if isinstance(value, Settings):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and value != "":
            text = plain[name]
            yield f"{prefix}{name}", text if isinstance(text, str) else json.dumps(text)


def common_tags(method: str, config: Config, seeds: Iterable[int], dataset_info: DatasetInfo) -> dict[str, str]:
    """What a run is about."""
    splits = [dataset_info.splits[seed] for seed in seeds if seed in dataset_info.splits]
    tags = {"method": method, "recipe": config.recipe, "data": config.data.name}
    tags |= {"data.fingerprint": config.data.fingerprint} if config.data.fingerprint else {}
    if splits:
        tags |= {"split": ", ".join(name for name, _ in splits), "split.digest": ", ".join(d for _, d in splits)}
    return tags


def made_tags(store: Store, evaluations: Iterable[Stage]) -> dict[str, str]:
    """Code and packages that made the last of these evaluations, from its record."""
    last: Mapping[str, Any] = {}
    for evaluation in evaluations:
        if store.has(evaluation):
            last = store.record(evaluation).made
    tags = {f"version.{name}": str(found) for name in PACKAGES if (found := last.get("versions", {}).get(name))}
    if git := last.get("git"):
        tags |= {COMMIT: str(git["commit"]), "git.dirty": str(git["dirty"]).lower()}
    if "device" in last:
        tags["device"] = str(last["device"])
    return tags


def stage_table(store: Store, plans: Mapping[int, Plan], executed: Iterable[str]) -> list[dict[str, Any]]:
    """All stages of the plans that are stored, each once: what, who, how long."""
    own, rows = set(executed), {}
    for seed, plan in plans.items():
        for stage in plan.stages():
            if store.has(stage):
                record = store.record(stage)
                rows[stage.key] = {
                    "key": stage.key,
                    "operation": stage.operation.name,
                    "what": record.summary,
                    "seed": seed,
                    "inputs": record.inputs,
                    "reused": stage.key not in own,
                    "digest": record.digest,
                    "made": record.made,
                }
    return list(rows.values())


def sweep_note(results: SweepResults, best: Trial | None, finals: Mapping[str, float]) -> str:
    """The head of a sweep's page, in Markdown."""
    sweep = results.sweep
    # The result first, as MLflow folds all but some lines.
    lines = [f"## {sweep.title}", "", _counts(results), ""]
    if results.result:
        lines += [results.result, ""]
    elif best is not None:
        lines += [f"**Best: {settings_name(best.params)}**, {100 * finals['score']:.2f} % (trial {best.number})", ""]
        if best.number in results.replay:
            lines += ["```", results.replay[best.number], "```", ""]
    if best is not None:
        lines += [
            f"| score of the best trial | {sweep.score_name} |",
            "|---|---|",
            f"| validation images, last iteration (what the search maximises) | {100 * finals['score']:.2f} % |",
            f"| test images, last iteration | {100 * finals['reported_last']:.2f} % |",
            f"| test images, model and iteration chosen on the validation images "
            f"| {100 * finals['reported_val']:.2f} % |",
            f"| test images, best model and iteration (the papers' protocol, optimistic) "
            f"| {100 * finals['reported_paper']:.2f} % |",
            "",
        ]
    lines += [_space(sweep), ""]
    if results.dataset_info.command:
        lines += ["The sweep:", "```", results.dataset_info.command, "```", ""]
    iterations = f"iterations (`{sweep.measure}_...`)"
    lines.append(f"Metrics are fractions from 0 to 1. Steps are optimizer steps (`A/loss`) or {iterations}.")
    return "\n".join(lines)


def _space(sweep: Sweep) -> str:
    ranges = ", ".join(f"{setting} {values}" for setting, values in sweep.space.items())
    seeds = ", ".join(map(str, sweep.seeds))
    return f"Method `{sweep.method}`, recipe `{sweep.config.recipe}`, seeds {seeds}; {ranges}."


def _counts(results: SweepResults) -> str:
    states = [trial.state for trial in results.trials]
    said = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} trials: {said}." if states else "No trials yet."
