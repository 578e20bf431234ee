"""Names of the files in a stage's folder: the engine writes them, and whoever reads results opens them."""

HISTORY = "history.csv"  # of a training, a row for every few steps
SCORES = "scores.csv"  # of the snapshots that a training compared, where it keeps the best
EXAMPLES = "examples.npz"  # what a training showed of its weights on a few images
METRICS = "metrics.json"  # of an evaluation
LABELS = "labels.npy"
CONFIDENCE = "confidence.npy"  # the teacher's, in 1/255
RANK = "rank.npy"  # of the label in another teacher's prediction, from 1 on
IMAGES = "images.npy"  # places in `Parts.unlabelled` of the images that have labels, where some have none
SUMMARY = "summary.json"  # of a labelling: coverage and, where the truth is known, accuracy
AGREEMENT = "agreement.csv"  # of two teachers, for each image
ORDER = "order.csv"  # of the images by reliability
CHOICE = "choice.json"  # between two models
MODEL = "model"  # begins the files of a stage that trains one model; a stage that trains two has A and B
AVERAGED = "-averaged"  # ends the name of the weights' moving average


def weights_file(name: str = MODEL, *, averaged: bool = False) -> str:
    """The file that holds the weights of a model of this name, or the moving average of these weights."""
    return f"{name}{AVERAGED if averaged else ''}.safetensors"


def weights_of(*names: str) -> tuple[str, ...]:
    """The files that hold the weights of models of these names, and the moving averages of these weights."""
    return tuple(weights_file(name, averaged=averaged) for name in names for averaged in (False, True))
