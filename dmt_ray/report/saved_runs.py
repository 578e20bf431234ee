"""What `dmt run` has performed, written down, so that a tracking server that was down can be told later."""

import json
from collections.abc import Iterator
from pathlib import Path

from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.methods import METHODS, stored_config
from dmt_ray.store import Store
from dmt_ray.tracking.results import RunResults

FOLDER = "experiments"


def keep(storage: Path, results: RunResults) -> None:
    """Write down what is needed to publish a run again."""
    folder = storage / FOLDER
    folder.mkdir(exist_ok=True)
    values = {
        "method": results.method,
        "config": results.config.model_dump(mode="json"),
        "seed": results.seed,
        "about": results.dataset_info.to_json(),
    }
    file = folder / f"{results.name.replace('/', '-')}.json"
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def kept(storage: Path, store: Store) -> Iterator[RunResults]:
    """All runs that were written down."""
    for file in sorted((storage / FOLDER).glob("*.json")):
        values = json.loads(file.read_text(encoding="utf-8"))
        method, seed = METHODS[values["method"]], values["seed"]
        config = stored_config(method, values["config"])
        plan = method(config, seed)
        yield RunResults(values["method"], config, seed, plan, store, DatasetInfo.from_json(values["about"]))
