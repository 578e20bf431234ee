from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest

Scores = Mapping[str, Mapping[int, float | str | None]]


@pytest.fixture
def records() -> Callable[..., pd.DataFrame]:
    """Makes tidy records by hand: rule -> row -> seed -> score, a text for a failed run, None for a missing one."""
    return tabulate


def tabulate(
    rules: Mapping[str, Scores],
    *,
    column: str = "1/8",
    metric: str = "miou",
    methods: Mapping[str, str] | None = None,
    one_split: bool = False,
    **dataset_info: Any,
) -> pd.DataFrame:
    lines = []
    for rule, rows in rules.items():
        for row, runs in rows.items():
            for seed, score in runs.items():
                there = isinstance(score, float)
                models = 2 if row.startswith("DMT") else 1
                lines.append(
                    {
                        "experiment": "components-shapes-0badcafe",
                        "question": "components",
                        "recipe": "shapes",
                        "data": "shapes",
                        "row": row,
                        "column": column,
                        "method": (methods or {}).get(row, "dmt"),
                        "seed": seed,
                        "split": "random-16" if one_split else f"random-16-{seed}",
                        "split_digest": "feed0000" if one_split else f"feed000{seed}",
                        "fingerprint": "f" * 64,
                        "config": f"{len(row):08x}",
                        "key": "",
                        "state": "there" if there else "missing" if score is None else "failed",
                        "error": score if isinstance(score, str) else "",
                        "model": "mean" if rule == "last" else "A",
                        "rung": 5,
                        "rule": rule,
                        "images": "reported",
                        "metric": metric,
                        "value": score if there else float("nan"),
                        "snapshots": (1 if rule == "last" else 6 * models) if there else float("nan"),
                        "models": models,
                        "steps": 1000 * models if there else float("nan"),
                        "device_seconds": 360.0 * models if there else float("nan"),
                    }
                )
    frame = pd.DataFrame(lines)
    frame.attrs["about"] = {
        "recipe": "shapes",
        "title": "What is each part worth?",
        "reference": "Baseline",
        "git": {"commit": "c0ffee" + "0" * 34, "dirty": False},
        "versions": {"torch": "2.9.0", "python": "3.11.0"},
        **dataset_info,
    }
    return frame
