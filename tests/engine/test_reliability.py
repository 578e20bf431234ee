import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmt_ray import IGNORE, models
from dmt_ray.config import Model, Split
from dmt_ray.data import Dataset, divide
from dmt_ray.engine.assess import agreement_of, assess, ranks_of
from dmt_ray.engine.augment import order
from dmt_ray.engine.compose import compose, first_images
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.label import label
from dmt_ray.engine.pseudo_labels import PseudoLabels, offsets
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.assess import Assess
from dmt_ray.plan.operations.compose import Compose
from dmt_ray.plan.operations.label import Label
from dmt_ray.recipes import named
from tests.helpers.noise import noise
from tests.helpers.teams import in_team

K = 4
SIZES = [(40, 33), (32, 64), (40, 33), (20, 20), (32, 64), (32, 32), (33, 40), (32, 64)]
DATA, SPLIT = named("shapes").data, Split(labelled=2)


@pytest.fixture(scope="module")
def work() -> Workspace:
    return noise(SIZES, K)


@pytest.fixture(scope="module")
def folders(work, tmp_path_factory) -> dict[str, Path]:
    """Two teachers, the labels of the first, and what the second says to them."""
    root = tmp_path_factory.mktemp("reliability")
    made = {name: root / name for name in ("teacher", "judge", "labels", "assessed", "scratch")}
    for seed, name in enumerate(made):
        made[name].mkdir()
        if name in ("teacher", "judge"):
            torch.manual_seed(seed)
            model = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [16, 8, 8, 8]})
            description = {"model": model.model_dump(mode="json"), "classes": K, "side": "A"}
            models.save(models.build(model, K), made[name], description)
    config = Label(data=DATA, split=SPLIT, rule="class_balanced", share=1.0)
    inputs = {"teacher": made["teacher"]}
    label(config, replace(work, inputs=inputs, out=made["labels"], scratch=made["scratch"]))
    inputs = {"labels": made["labels"], "judge": made["judge"]}
    config = Assess(data=DATA, split=SPLIT)
    assess(config, replace(work, inputs=inputs, out=made["assessed"], scratch=made["scratch"]))
    return made


def agreements(folder: Path, name: str = "agreement.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_rank_is_the_place_of_the_label_among_the_classes():
    probs = torch.tensor([[[0.5, 0.3], [0.2, 0.4]], [[0.3, 0.6], [0.5, 0.2]], [[0.2, 0.1], [0.3, 0.4]]])
    labels = torch.tensor([[[0, 0], [0, 1]]], dtype=torch.uint8)
    assert ranks_of(probs.log().unsqueeze(0), labels).tolist() == [[[1, 2], [3, 3]]]


@pytest.mark.parametrize(("label", "expected"), [(0, 1), (1, 1), (2, 3)])
def test_equal_classes_share_the_better_rank(label, expected):
    probs = torch.tensor([0.4, 0.4, 0.2]).view(1, 3, 1, 1)
    assert ranks_of(probs.log(), torch.full((1, 1, 1), label)).item() == expected


def test_what_has_no_label_ranks_last():
    assert ranks_of(torch.tensor([3.0, 2.0, 1.0]).view(1, 3, 1, 1), torch.full((1, 1, 1), IGNORE)).item() == 3


def test_the_agreement_is_the_miou_of_each_image_over_the_classes_it_has():
    labels = torch.tensor([[[0, 0], [1, 1]], [[2, 2], [2, 2]], [[0, 0], [1, 1]]], dtype=torch.uint8)
    others = torch.tensor([[[0, 1], [1, 1]], [[2, 2], [2, 2]], [[1, 1], [0, 0]]])
    expected = [(1 / 2 + 2 / 3) / 2, 1, 0]  # the first: class 0 has 1 of 2 pixels, class 1 has 2 of 3
    assert agreement_of(labels, others, 3).tolist() == pytest.approx(expected)


def test_pixels_without_a_label_have_no_say_in_the_agreement():
    labels = torch.tensor([[[0, IGNORE], [1, IGNORE]], [[IGNORE, IGNORE], [IGNORE, IGNORE]]])
    others = torch.tensor([[[0, 2], [0, 2]], [[0, 0], [0, 0]]])
    assert agreement_of(labels, others, 3).tolist() == [(1 / 2 + 0) / 2, 0]


def test_nothing_is_read_from_the_device():
    logits, labels = torch.zeros(2, K, 8, 8, device="meta"), torch.zeros(2, 8, 8, dtype=torch.uint8, device="meta")
    assert ranks_of(logits, labels).shape == (2, 8, 8)
    assert agreement_of(labels, logits.argmax(dim=1), K).shape == (2,)


def test_ranks_and_agreement_are_those_of_one_image_at_a_time(work, folders):
    train = work.dataset.subsets["train"]
    positions = divide(SPLIT, DATA, work.dataset).unlabelled
    labels, ends = PseudoLabels(train, positions, folders["labels"]), offsets(train, positions)
    ranks, rows = np.load(folders["assessed"] / "rank.npy"), agreements(folders["assessed"])
    judge = models.load(folders["judge"])[0].eval()
    assert [row["id"] for row in rows] == [train.ids[position] for position in positions]
    assert (ranks.dtype, ranks.shape) == (np.uint8, (ends[-1],))
    for i, position in enumerate(positions):
        probs = WholeImages(judge, work, train).logits([position])[0].softmax(dim=0).numpy()
        given, _ = labels.of(i)
        own = np.take_along_axis(probs, given[None].astype(int), axis=0)
        expected = 1 + (probs > own).sum(axis=0)
        assert (ranks[ends[i] : ends[i + 1]] == expected.ravel()).mean() > 0.999
        said, ious = probs.argmax(axis=0), []
        for k in range(K):
            either, both = (given == k) | (said == k), (given == k) & (said == k)
            ious += [both.sum() / either.sum()] if either.any() else []
        assert float(rows[i]["agreement"]) == pytest.approx(np.mean(ious), abs=1e-3)


def test_the_summary_has_the_mean_agreement_and_how_common_each_rank_is(folders):
    summary = json.loads((folders["assessed"] / "summary.json").read_text())
    rows, ranks = agreements(folders["assessed"]), np.load(folders["assessed"] / "rank.npy")
    assert summary["agreement"] == pytest.approx(np.mean([float(row["agreement"]) for row in rows]))
    assert summary["ranks"] == pytest.approx([(ranks == x).mean() for x in (1, 2, 3, 4)])
    assert (summary["images"], summary["pixels"]) == (6, len(ranks))


def test_a_judge_agrees_fully_with_its_own_labels(work, folders, tmp_path):
    inputs = {"labels": folders["labels"], "judge": folders["teacher"]}
    config = Assess(data=DATA, split=SPLIT)
    assert assess(config, replace(work, inputs=inputs, out=tmp_path, scratch=tmp_path)) == 6
    assert (np.load(tmp_path / "rank.npy") == 1).all()
    assert {row["agreement"] for row in agreements(tmp_path)} == {"1.0"}


def test_a_team_assesses_as_one_worker_to_the_byte(work, folders, tmp_path):
    inputs = {"labels": folders["labels"], "judge": folders["judge"]}

    def perform(team: Team) -> list[str]:
        place = Workspace(work.dataset, eval_batch=1, team=team)
        out = tmp_path / f"{team.size}-{team.rank}"
        out.mkdir()
        assess(Assess(data=DATA, split=SPLIT), replace(place, inputs=inputs, out=out, scratch=out))
        return sorted(path.name for path in out.iterdir())

    torch.set_num_threads(1)
    files = perform(ALONE)
    for size in (2, 4):  # six images: two of four workers have one turn less
        assert in_team(size, perform) == [files, *[[]] * (size - 1)]
        for name in files:
            assert (tmp_path / f"{size}-0" / name).read_bytes() == (tmp_path / "1-0" / name).read_bytes()


def test_more_classes_than_a_byte_has_ranks_are_refused(work, folders, tmp_path):
    many = Dataset("noise", ("a",) * 256, np.zeros((256, 3), np.uint8), "", work.dataset.subsets, None)
    with pytest.raises(ValueError, match="up to 255 classes, but there are 256"):
        assess(Assess(data=DATA, split=SPLIT), replace(Workspace(many), inputs=folders, out=tmp_path, scratch=tmp_path))


def phase(first: float, *, by: str = "reliability", whole: bool = False) -> Compose:
    return Compose(data=DATA, split=SPLIT, by=by, first=first, whole=whole)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.4, [1, 3], id="the most agreed on"),
        pytest.param(0.2, [1], id="of equal ones the earlier"),
        pytest.param(0.5, [1, 3], id="rounded down"),
        pytest.param(0.1, [1], id="one at least"),
        pytest.param(1.0, [0, 1, 2, 3, 4], id="all"),
    ],
)
def test_the_images_that_come_first(share, expected):
    agreement = np.array([0.2, 0.9, 0.5, 0.9, 0.1])
    assert np.flatnonzero(first_images(phase(share), agreement, 0)).tolist() == expected


def test_lots_fall_by_the_seed_and_not_by_agreement():
    drawn = [first_images(phase(0.5, by="chance"), np.arange(100.0), seed) for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
    assert [early.sum() for early in drawn] == [50, 50, 50]
    assert 10 < drawn[0][50:].sum() < 40
    assert set(np.flatnonzero(drawn[0])) != set(order(0, 0, 0, 100)[:50])  # not the order of a training


def composed(work, folders, out: Path, config: Compose, rest: Path | None = None) -> PseudoLabels:
    inputs = {"labels": folders["labels"], "assessed": folders["assessed"]} | ({"rest": rest} if rest else {})
    assert compose(config, replace(work, inputs=inputs, out=out, scratch=out)) == 6
    positions = divide(SPLIT, DATA, work.dataset).unlabelled
    return PseudoLabels(work.dataset.subsets["train"], positions, out, "rank.npy")


def test_the_first_phase_has_the_agreed_half_alone_in_its_order(work, folders, tmp_path):
    found = composed(work, folders, tmp_path, phase(0.5))
    train, positions = work.dataset.subsets["train"], divide(SPLIT, DATA, work.dataset).unlabelled
    agreement = [float(row["agreement"]) for row in agreements(folders["assessed"])]
    best = sorted(np.argsort([-value for value in agreement], kind="stable")[:3].tolist())
    assert np.load(tmp_path / "images.npy").tolist() == best
    assert found.positions == tuple(positions[place] for place in best)
    given, ends = PseudoLabels(train, positions, folders["labels"]), offsets(train, positions)
    ranks = np.load(folders["assessed"] / "rank.npy")
    for i, place in enumerate(best):
        labels, rank = found.of(i)
        assert np.array_equal(labels, given.of(place)[0])
        assert np.array_equal(rank.ravel(), ranks[ends[place] : ends[place + 1]])


def test_the_second_phase_has_new_labels_of_the_other_half_and_the_old_ranks_of_all(work, folders, tmp_path):
    train, positions = work.dataset.subsets["train"], divide(SPLIT, DATA, work.dataset).unlabelled
    rest, out = tmp_path / "rest", tmp_path / "out"
    for folder in (rest, out):
        folder.mkdir()
    given = np.load(folders["labels"] / "labels.npy")
    np.save(rest / "labels.npy", (given + 1) % K)
    np.save(rest / "confidence.npy", given)
    found = composed(work, folders, out, phase(0.5, whole=True), rest)
    assert not (out / "images.npy").exists()
    assert found.positions == positions
    ends, early = offsets(train, positions), [row["first"] == "1" for row in agreements(out, "order.csv")]
    assert sum(early) == 3
    for i, first in enumerate(early):
        was = given[ends[i] : ends[i + 1]]
        assert np.array_equal(found.of(i)[0].ravel(), was if first else (was + 1) % K)
    assert (out / "rank.npy").read_bytes() == (folders["assessed"] / "rank.npy").read_bytes()


def test_one_phase_has_all_labels_as_they_are(work, folders, tmp_path):
    composed(work, folders, tmp_path, phase(1.0, whole=True))
    assert not (tmp_path / "images.npy").exists()
    for name, source in (("labels.npy", "labels"), ("rank.npy", "assessed")):
        assert (tmp_path / name).read_bytes() == (folders[source] / name).read_bytes()


def test_the_summary_tells_both_halves_apart_and_how_right_the_labels_are(work, folders, tmp_path):
    found = composed(work, folders, tmp_path, phase(0.5))
    summary, rows = json.loads((tmp_path / "summary.json").read_text()), agreements(tmp_path, "order.csv")
    halves = {flag: np.mean([float(row["agreement"]) for row in rows if row["first"] == flag]) for flag in "01"}
    assert summary["agreement_of_first"] == pytest.approx(halves["1"])
    assert summary["agreement_of_rest"] == pytest.approx(halves["0"])
    assert halves["1"] > halves["0"]
    truth = [work.dataset.subsets["train"].mask(position) for position in found.positions]
    right = np.concatenate([(found.of(i)[0] == mask).ravel() for i, mask in enumerate(truth)])
    assert summary["accuracy"] == pytest.approx(right.mean())
    assert (summary["images"], summary["pixels"], summary["kept"]) == (3, len(right), 1)


def test_the_chief_alone_composes(work, folders, tmp_path):
    inputs = {"labels": folders["labels"], "assessed": folders["assessed"]}
    other = Workspace(work.dataset, team=Team(1, 2))
    compose(phase(0.5), replace(other, inputs=inputs, out=tmp_path, scratch=tmp_path))
    assert list(tmp_path.iterdir()) == []
