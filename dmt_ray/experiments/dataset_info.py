"""What is shown beside results but not held by the store: names, colours, splits, commands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmt_ray.config import Config

if TYPE_CHECKING:
    from dmt_ray.data import Dataset


@dataclass(frozen=True)
class DatasetInfo:
    """Every part may be missing: classes are then shown by number, and figures that need colours are left out."""

    classes: tuple[str, ...] = ()  # names of the K classes
    palette: NDArray[np.uint8] | None = None  # their colours, ``[K, 3]``
    splits: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # seed -> ("random-60-0", digest "3fa1...")
    command: str = ""  # what was typed

    @classmethod
    def of(cls, dataset: "Dataset", config: Config, seeds: Iterable[int], command: str = "") -> "DatasetInfo":
        """The information in an opened data set and the settings."""
        from dmt_ray.data import divide

        parts = {seed: divide(config.split.for_seed(seed), config.data, dataset) for seed in seeds}
        splits = {seed: (part.name, part.digest) for seed, part in parts.items()}
        return cls(dataset.classes, dataset.palette, splits, command)

    def to_json(self) -> dict[str, Any]:
        """Plain values, stored beside a sweep so that it can be published later."""
        return {
            "classes": list(self.classes),
            "palette": None if self.palette is None else self.palette.tolist(),
            "splits": {str(seed): list(split) for seed, split in self.splits.items()},
            "command": self.command,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DatasetInfo":
        """The inverse of `to_json`."""
        return cls(
            tuple(values["classes"]),
            None if values["palette"] is None else np.array(values["palette"], np.uint8),
            {int(seed): (str(name), str(digest)) for seed, (name, digest) in values["splits"].items()},
            values["command"],
        )

    def class_name(self, number: int) -> str:
        """The name of a class, or "class 3"."""
        return self.classes[number] if number < len(self.classes) else f"class {number}"
