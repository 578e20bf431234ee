"""The model card: README.md of an exported model, with the head that Hugging Face's hub reads."""

import json
from collections.abc import Iterator

from dmt_ray import models
from dmt_ray.config import COLOURS
from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.plan.escape import fenced, markdown
from dmt_ray.plan.measures import MEASURES
from dmt_ray.plan.words import counted

RULES = {
    "last": "after the last iteration",
    "val": "model and iteration that are best on the validation images",
    "paper": "model and iteration that are best on the test images (the papers' protocol, biased upwards by selection)",
}
LOAD_WITH_SMP = """## Load it

With segmentation-models-pytorch (the plain network; normalise images as below):

```python
import segmentation_models_pytorch as smp

network = smp.from_pretrained("path/to/this/folder").eval()
```

With dmt-ray (pixels in, classes out):
"""
LOAD_WITHOUT = """## Load it

segmentation-models-pytorch does not know this network, so its `from_pretrained` cannot build it. With dmt-ray (pixels
in, classes out):
"""
LOAD = """
```python
import dmt_ray

model = dmt_ray.load_model("path/to/this/folder")
classes = model("picture.jpg")  # uint8, a class number for each pixel
```
"""


def card(info: ModelInfo) -> str:
    """The text of a model's card, in Markdown."""
    return "\n".join(_lines(info)).rstrip() + "\n"


def _lines(info: ModelInfo) -> Iterator[str]:
    ours = info.model.architecture in models.OURS
    yield from _head(info, ours)
    yield from ("", f"# {markdown(info.name)}", "")
    what = "Semantic segmentation" if info.task == "segmentation" else "Image classification"
    network = markdown(info.network)
    yield f"{what} into {len(info.classes)} classes by {network}, trained by Dynamic Mutual Training with dmt-ray."
    yield from ("", (LOAD_WITHOUT if ours else LOAD_WITH_SMP) + LOAD)
    yield from _preprocessing(info)
    yield from ("", "## Classes", "", "| number | class | colour |", "|---|---|---|")
    for number, (name, colour) in enumerate(zip(info.classes, info.palette, strict=True)):
        yield f"| {number} | {markdown(name)} | #{bytes(colour).hex()} |"
    yield from _training(info)
    yield from _scores(info)
    yield from ("", "## Code", "")
    yield from [f"- {name}: {markdown(value)}" for name, value in info.code.items()] or ["Not recorded."]


def _head(info: ModelInfo, ours: bool) -> Iterator[str]:
    task = "image-segmentation" if info.task == "segmentation" else "image-classification"
    tags = ["dmt-ray", "semi-supervised", *([] if ours else ["segmentation-models-pytorch"])]
    yield from ("---", f"library_name: {'dmt-ray' if ours else 'segmentation-models-pytorch'}")
    yield from (f"pipeline_tag: {task}", "tags:", *(f"- {tag}" for tag in tags))
    # As JSON, which is YAML, too: a data set's name may hold anything.
    yield from ("datasets:", f"- {json.dumps(info.data.name)}", "---")


def _preprocessing(info: ModelInfo) -> Iterator[str]:
    size = "at their own size" if info.size is None else f"resized to {info.size[0]} x {info.size[1]} (bilinear)"
    kind = "RGB images" if info.channels == COLOURS else f"images of {counted(info.channels, 'channel')}"
    yield from ("## Preprocessing", "", f"- {kind[0].upper()}{kind[1:]} in 0..1, {size}.")
    whose = "the training images" if info.normalised == "data" else info.normalised
    yield f"- Channels are normalised by the statistics of {whose}, in preprocessor_config.json."
    if info.task == "segmentation":
        yield "- Sides that the network does not take are padded with 0 at the right and the bottom before that."
    if info.crop is not None:
        yield f"- Trained on crops of {info.crop[0]} x {info.crop[1]} pixels; larger pictures are best cut into tiles."


def _training(info: ModelInfo) -> Iterator[str]:
    yield from (
        "",
        "## Training",
        "",
        _fact("data", f"{info.data.name}, fingerprint {info.data.fingerprint or 'unknown'}"),
    )
    if info.data.split:
        yield _fact("labelled images", f"{info.data.split}, digest {info.data.split_digest}")
    facts = {"method": info.method, "recipe": info.recipe, "seed": info.seed, "weights": info.key}
    yield from (_fact(name, value) for name, value in facts.items() if value not in ("", None))
    first = info.first_weights
    if first is None:
        yield "- first weights: random, or from a file of the user's"
    else:
        known = {name: first.get(name, "not recorded") for name in ("name", "origin", "digest", "licence")}
        yield _fact("first weights", "{name}, of {origin}, digest {digest}".format(**known))
        yield _fact("licence of the first weights", known["licence"])
    if info.command:
        yield from ("", fenced(info.command, "sh"))


def _fact(name: str, value: object) -> str:
    return f"- {name}: {markdown(str(value))}"


def _scores(info: ModelInfo) -> Iterator[str]:
    yield from ("", "## Scores", "")
    if info.score is None:
        yield "Not recorded: the weights are those of a single stage."
        return
    own, name = info.score, MEASURES[info.score.measure]
    images = "" if own.test_images is None else f" ({own.validation_images} and {own.test_images} images)"
    yield (
        f"This network: {name} {100 * own.validation:.2f} % on the validation images, {100 * own.test:.2f} % on the "
        f"test images{images}."
    )
    if not info.scores:
        return
    yield from ("", "All runs with these settings:", "", f"| selection | validation {name} | test {name} | n |")
    yield "|---|---|---|---|"
    for one in info.scores:
        deviation = "" if one.test_sd is None else f" ± {100 * one.test_sd:.2f}"
        yield (
            f"| {one.rule}: {RULES[one.rule]} | {100 * one.validation:.2f} % | {100 * one.test:.2f}{deviation} % "
            f"| {one.n} |"
        )
    yield from ("", "n counts runs with different seeds; ± is their sample standard deviation.")
