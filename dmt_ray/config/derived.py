"""Names that a search or an ablation varies and that are no settings themselves: each stands for other settings.

What a trial has of them is translated into plain settings, see `experiments.dimensions`.
"""

METHOD = "method"
LABEL_FRACTION = "label_fraction"
PAIR = "pair"  # of networks
START, END, ITERATIONS, CURVATURE = (f"schedule.{word}" for word in ("start", "end", "iterations", "curvature"))
SCHEDULE = (START, END, ITERATIONS, CURVATURE)

DERIVED: dict[str, tuple[str, ...]] = {
    METHOD: (),
    LABEL_FRACTION: ("split.labelled", "pretrain.epochs"),
    PAIR: ("model", "model_b"),
    **{name: ("percentiles",) for name in SCHEDULE},
}
"""Name -> the settings that it makes. All other names are settings themselves."""

_INSTEAD = {
    METHOD: "choose it by --method",
    LABEL_FRACTION: "set split.labelled, such as split.labelled=0.1, and pretrain.epochs",
    PAIR: "set model.architecture and model.encoder, and for the second network model_b",
    "schedule": "set percentiles, such as percentiles=[0.2,0.4,0.6,0.8,1]",
}


def instead(setting: str) -> str:
    """What is to be set in place of a name that is no setting, as an error message; "" for all others."""
    start, _, part = setting.partition(".")
    advice = _INSTEAD.get(start) if start == "schedule" or not part else None
    return f"{setting!r} is a name of searches and no setting: {advice}" if advice else ""
