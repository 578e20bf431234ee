"""Predictions of stored models, for figures that need more than the records: computed once and cached.

They lie in `<storage>/analysis/`, named by the model's key, and can be deleted at any time. Only what is not cached yet
needs the model's weights, the data set and torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.errors import DataError, MissingStages
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.files import replacing
from dmt_ray.plan import Stage
from dmt_ray.plan.amounts import EVAL_BATCH
from dmt_ray.plan.key import key_of
from dmt_ray.report.figures.pseudo_labels import ALL, COLUMNS

if TYPE_CHECKING:
    from torch import nn

    from dmt_ray.data import Parts
    from dmt_ray.engine.workspace import Workspace

FOLDER = "analysis"  # below the storage folder
COUNT = 4
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)  # DMT, Fig. 1


@dataclass(frozen=True)
class Predictor:
    """Where predictions are cached, and what is needed to compute them."""

    storage: Path  # folder of the results
    data: Path | None = None  # folder of the data set; None: below the variable DMT_DATA
    device: str = "auto"  # "auto", "cpu" or "cuda"
    threads: int = 1  # CPU threads
    computes: bool = True  # whether what is not cached yet is computed; else it is an error
    eval_batch: int | None = None  # images in a forward pass; None: EVAL_BATCH

    def examples(
        self, evaluation: Stage, *, count: int = COUNT, ids: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Some test images and what an evaluated model predicts for them.

        Args:
            evaluation: The evaluation of the model.
            count: How many images, evenly spread over the test images.
            ids: These images instead.

        Returns:
            ids, and for number e of each image_e (uint8 ``[H, W, 3]``), truth_e and prediction_e (uint8 ``[H, W]``,
            255: no class), as in a fine-tuning's examples.npz.

        Raises:
            MissingStages: If nothing is to be computed and they are not cached, or the weights are gone.
            DataError: If there is no such image, or the data cannot be read.
        """
        model, config = evaluation.inputs["model"], evaluation.config
        if config.data.task == "classification":
            raise MissingStages("images with a single class each have no masks to show")
        key = key_of({"evaluate": evaluation.key, "count": count, "ids": None if ids is None else list(ids)})
        path = self.storage / FOLDER / f"examples-{model.key}-{key[:8]}.npz"
        if not path.exists():
            self._may_compute(model)
            with replacing(path) as draft:
                np.savez_compressed(draft, allow_pickle=False, **self._predict(evaluation, count, ids))
        with np.load(path, allow_pickle=False) as content:
            return dict(content)

    def disagreement(self, first: Stage, second: Stage) -> pd.DataFrame:
        """How much two evaluated models disagree on each test image.

        Args:
            first: The evaluation of a model.
            second: That of another one, on the same images.

        Returns:
            A line for an image: id, and disagreement, the fraction of its pixels that they give different classes.

        Raises:
            MissingStages, DataError: As `examples`; DataError also if they are scored on different images.
        """
        if first.config.data.task == "classification":
            raise MissingStages("images with a single class each have no masks to show")
        path = self.storage / FOLDER / f"disagreement-{key_of([first.key, second.key])}.csv"
        if not path.exists():
            for evaluation in (first, second):
                self._may_compute(evaluation.inputs["model"])
            table = pd.DataFrame(self._disagree(first, second), columns=["id", "disagreement"])
            with replacing(path) as draft:
                table.to_csv(draft, index=False)
        return pd.read_csv(path, dtype={"id": str})

    def confident_errors(
        self,
        evaluation: Stage,
        dataset_info: DatasetInfo,
        *,
        row: str = "",
        shares: Sequence[float] = SHARES,
        rule: Literal["class_balanced", "global"] = "class_balanced",
    ) -> pd.DataFrame:
        """How many of a model's pseudo labels would be wrong, among its most confident fractions (DMT, Fig. 1).

        The stored labellings know it for a single share each: an iteration's.

        Args:
            evaluation: The evaluation of the model that labels the unlabelled images.
            dataset_info: Names of the classes.
            row: What the table calls it.
            shares: Shares, in ``(0, 1]``.
            rule: Whether the most confident pixels of each class are taken, or of all together.

        Returns:
            As `pseudo_labels.label_errors`: a line for a share and class, and one (class "") for all; iteration 0.

        Raises:
            MissingStages, DataError: As `examples`.
        """
        model = evaluation.inputs["model"]
        key = key_of({"split": evaluation.key, "shares": list(shares), "rule": rule})
        path = self.storage / FOLDER / f"surest-{model.key}-{key[:8]}.csv"
        if not path.exists():
            self._may_compute(model)
            errors = pd.DataFrame(self._rank(evaluation, shares, rule), columns=["share", "class", "kept", "error"])
            with replacing(path) as draft:
                errors.to_csv(draft, index=False)
        table = pd.read_csv(path)
        table["class"] = [ALL if number < 0 else dataset_info.class_name(number) for number in table["class"]]
        return table.assign(row=row, seed=evaluation.seed, iteration=0, teacher=evaluation.side)[list(COLUMNS)]

    def _may_compute(self, model: Stage) -> None:
        if not self.computes:
            raise MissingStages(
                f"the predictions of {model.name} are not cached in {self.storage / FOLDER}; add --predict"
            )

    def _open(self, evaluation: Stage) -> "tuple[nn.Module, Parts, Workspace]":
        """The model in eval mode, the split it was trained on, and where it works."""
        import torch

        from dmt_ray import models
        from dmt_ray.data import divide
        from dmt_ray.engine.workspace import Workspace, device_of
        from dmt_ray.execution.runner import Machine, Runner

        torch.set_num_threads(self.threads)
        runner = Runner(Machine(self.storage, self.data, device=self.device))
        folder = runner.store.open(evaluation.inputs["model"], files=True)
        config: Any = evaluation.config
        work = Workspace(
            runner.dataset(config.data),
            device_of(self.device),
            normalisation=config.data.normalisation,
            eval_batch=self.eval_batch or EVAL_BATCH,
        )
        network, _ = models.load(folder, config.member or models.MODEL, averaged=config.averaged)
        return network.to(work.device).eval(), divide(config.split, config.data, work.dataset), work

    def _predict(self, evaluation: Stage, count: int, ids: Sequence[str] | None) -> Mapping[str, NDArray[Any]]:
        from dmt_ray.data.pictures import rgb
        from dmt_ray.engine.inference import WholeImages

        network, parts, work = self._open(evaluation)
        subset, positions = parts.reported
        images = work.dataset.subsets[subset]
        if ids is None:
            chosen = [positions[i] for i in np.unique(np.linspace(0, len(positions) - 1, count).round().astype(int))]
        else:
            places = {images.ids[position]: position for position in positions}
            if unknown := [name for name in ids if name not in places]:
                raise DataError(f"the test images of {work.dataset.name!r} have no {unknown[0]!r}")
            chosen = [places[name] for name in ids]
        arrays: dict[str, NDArray[Any]] = {"ids": np.array([images.ids[position] for position in chosen])}
        for e, position in enumerate(chosen):
            whole = WholeImages(network, work, images)
            prediction = whole.logits([position])[0].argmax(dim=0)
            whole.check()
            arrays[f"image_{e}"], arrays[f"truth_{e}"] = rgb(images.image(position)), images.mask(position)
            arrays[f"prediction_{e}"] = prediction.cpu().numpy().astype(np.uint8)
        return arrays

    def _disagree(self, first: Stage, second: Stage) -> Iterable[tuple[str, float]]:
        import torch

        from dmt_ray.engine.inference import WholeImages, by_size

        networks, parts, works = zip(*(self._open(evaluation) for evaluation in (first, second)), strict=True)
        if parts[0].reported != parts[1].reported or first.config.data != second.config.data:
            raise DataError("the two are scored on different images, so that their predictions cannot be compared")
        subset, positions = parts[0].reported
        images, batch = works[0].dataset.subsets[subset], works[0].eval_batch
        whole = [WholeImages(network, works[0], images) for network in networks]
        with torch.inference_mode():
            for places in by_size(images, positions, batch):
                chosen = [positions[place] for place in places]
                ours, theirs = (one.logits(chosen).argmax(dim=1) for one in whole)
                shares = (ours != theirs).flatten(1).double().mean(dim=1).tolist()
                yield from zip((images.ids[position] for position in chosen), shares, strict=True)
        for one in whole:
            one.check()

    def _rank(
        self, evaluation: Stage, shares: Sequence[float], rule: Literal["class_balanced", "global"]
    ) -> Iterable[tuple[float, int, float, float]]:
        """Share, class (-1: all), share of the predicted pixels that is kept, share of wrong ones among the judged."""
        import torch

        from dmt_ray.engine.inference import WholeImages, by_size
        from dmt_ray.engine.ranking import Ranking, predict

        network, parts, work = self._open(evaluation)
        images = work.dataset.subsets["train"]
        whole = WholeImages(network, work, images)
        predicted, judged, right = (Ranking(len(work.dataset.classes), work.device) for _ in range(3))
        with torch.inference_mode():
            for places in by_size(images, parts.unlabelled, work.eval_batch):
                chosen = [parts.unlabelled[place] for place in places]
                labels, codes = predict(whole.logits(chosen))
                truth = whole.masks(chosen)
                predicted.update(labels, codes)
                judged.update(torch.where(truth == IGNORE, IGNORE, labels), codes)
                right.update(torch.where(truth == labels, labels, IGNORE), codes)
            whole.check()
        counts = [ranking.counts.cpu().numpy() for ranking in (predicted, judged, right)]
        for share in shares:
            cuts = predicted.thresholds(share, rule)
            sums = [[row[cut:].sum() for row, cut in zip(table, cuts, strict=True)] for table in counts]
            kept, known, hits = np.array(sums)
            yield share, -1, _share(kept.sum(), counts[0].sum()), 1 - _share(hits.sum(), known.sum())
            for k, total in enumerate(counts[0].sum(axis=1)):
                yield share, k, _share(kept[k], total), 1 - _share(hits[k], known[k])


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")
