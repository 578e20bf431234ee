import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.cross_entropy import cross_entropy_sum
from dmt_ray.losses.rules import bind
from dmt_ray.losses.rules.disagreement import disagreement, dynamic_weight
from dmt_ray.losses.rules.flip import flip
from dmt_ray.losses.rules.rising import rising, rising_weight
from dmt_ray.losses.rules.uniform import uniform
from dmt_ray.losses.step import STATISTICS, step_loss
from dmt_ray.losses.weighting import Comparison, Moment, compare, labelled_weight, ramped

NUMBERS = {  # of every rule, for the tests that hold for all
    "disagreement": {"gamma1": 2, "gamma2": 3},
    "confidence": {"gamma1": 2},
    "flip": {"gamma1": 2, "gamma2": 3},
    "uniform": {},
    "online": {"threshold": 0.9},
    "rising": {"rise_start": 0.25, "rise_end": 0.75, "alpha_f": 3.0},
    "rank": {"a": 1.0, "b": 0.5},
}
dmt = partial(disagreement, gamma1=3, gamma2=2)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The loss of DMT, Eq. 4-6, of one worker."""
    total = cross_entropy_sum(torch.log_softmax(logits.float(), dim=1), labels, weights)
    return total / (labels != IGNORE).sum().clamp(min=1)


def one_pixel(student: list[float], label: int, teacher_was: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor(student).view(1, -1, 1, 1), torch.full((1, 1, 1), label), torch.full((1, 1, 1), teacher_was)


def random_batch(images: int = 4, classes: int = 5, size: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels (a tenth of them ignored) and confidences."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(images, classes, size, size, generator=generator)
    labels = torch.randint(0, classes, (images, size, size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = IGNORE
    return logits, labels, torch.rand(labels.shape, generator=generator)


@pytest.mark.parametrize(
    ("student", "label", "teacher_was", "expected"),
    [
        pytest.param([0.8, 0.2], 0, 0.9, 0.8**2, id="agreement"),
        pytest.param([0.8, 0.2], 0, 0.1, 0.8**2, id="agreement with an unsure teacher"),
        pytest.param([0.6, 0.4], 1, 0.9, 0.4**3, id="teacher more confident"),
        pytest.param([0.75, 0.25], 1, 0.75, 0.25**3, id="equally sure counts as teacher more confident"),
        pytest.param([0.9, 0.1], 1, 0.7, 0.0, id="student more confident"),
        pytest.param([0.5, 0.5], 1, 0.1, 0.5**2, id="a label that ties for the maximum is agreement"),
        pytest.param([0.9, 0.1], IGNORE, 0.9, 0.0, id="ignored"),
    ],
)
def test_weight_of_one_pixel(student, label, teacher_was, expected):
    weight = dynamic_weight(*one_pixel(student, label, teacher_was), gamma1=2, gamma2=3)
    assert weight.shape == (1, 1, 1)
    assert weight.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("student", "label", "teacher_was", "expected"),
    [
        pytest.param([1.0, 0.0], 1, 1.0, 1.0, id="0 ** 0 where the teacher is more confident"),
        pytest.param([0.6, 0.4], 0, 0.9, 1.0, id="agreement"),
        pytest.param([0.9, 0.1], 1, 0.7, 0.0, id="the student is more confident"),
    ],
)
def test_exponents_of_zero_keep_the_third_case_at_zero(student, label, teacher_was, expected):
    assert dynamic_weight(*one_pixel(student, label, teacher_was), gamma1=0, gamma2=0).item() == expected


def test_the_rule_has_no_jump_at_gamma_zero():
    logits, labels, confidence = random_batch()
    probs = logits.softmax(dim=1)
    at_zero = dynamic_weight(probs, labels, confidence, gamma1=0, gamma2=0)
    near_zero = dynamic_weight(probs, labels, confidence, gamma1=1e-6, gamma2=1e-6)
    assert (at_zero - near_zero).abs().max() < 1e-4
    assert (at_zero == 0).sum() > (labels == IGNORE).sum()  # some labels are in case 3


@pytest.mark.parametrize(
    ("rule", "student", "label", "teacher_was", "new_label", "weight"),
    [
        pytest.param("disagreement", [0.9, 0.1], 1, 0.7, 1, 0.0, id="disagreement drops case 3"),
        pytest.param("confidence", [0.9, 0.1], 1, 0.7, 1, 0.1**2, id="naive keeps case 3"),
        pytest.param("confidence", [0.6, 0.4], 1, 0.9, 1, 0.4**2, id="naive reads gamma1 only"),
        pytest.param("confidence", [0.9, 0.1], IGNORE, 0.9, IGNORE, 0.0, id="naive ignores"),
        pytest.param("flip", [0.9, 0.1], 1, 0.7, 0, 0.3**3, id="flip learns the student's class in case 3"),
        pytest.param("flip", [0.8, 0.2], 0, 0.7, 0, 0.8**2, id="flip keeps agreement"),
        pytest.param("flip", [0.6, 0.4], 1, 0.9, 1, 0.4**3, id="flip keeps negative disagreement"),
        pytest.param("flip", [0.9, 0.1], IGNORE, 0.7, IGNORE, 0.0, id="flip ignores"),
        pytest.param("uniform", [0.9, 0.1], 1, 0.7, 1, 1.0, id="uniform keeps case 3 at 1"),
        pytest.param("uniform", [0.9, 0.1], IGNORE, 0.7, IGNORE, 0.0, id="uniform ignores"),
        pytest.param("online", [0.95, 0.05], 1, 0.7, 0, 1.0, id="online believes a sure student"),
        pytest.param("online", [0.85, 0.15], 0, 0.99, IGNORE, 0.0, id="online drops an unsure student"),
        pytest.param("online", [0.95, 0.05], IGNORE, 0.7, IGNORE, 0.0, id="online leaves padding alone"),
        pytest.param("rising", [0.45, 0.55], 0, 0.99, 1, 3.0, id="rising believes an unsure student"),
        pytest.param("rising", [0.95, 0.05], IGNORE, 0.7, IGNORE, 0.0, id="rising leaves padding alone"),
    ],
)
def test_what_each_rule_makes_of_one_pixel(rule, student, label, teacher_was, new_label, weight):
    seen = compare(*one_pixel(student, label, teacher_was))
    target = bind(rule, NUMBERS[rule], Moment(progress=0.5))(seen)
    assert target.labels.item() == new_label
    assert target.weights.item() == pytest.approx(weight)
    assert (target.labels.dtype, target.weights.dtype) == (torch.int64, torch.float32)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        pytest.param(0.0, 0.0, id="at first"),
        pytest.param(0.1, 0.0, id="start of the rise"),
        pytest.param(0.35, 1.5, id="half way"),
        pytest.param(0.6, 3.0, id="end of the rise"),
        pytest.param(1.0, 3.0, id="at last"),
    ],
)
def test_the_weight_of_pseudo_label_rises_linearly(progress, expected):  # T1 = 0.1, T2 = 0.6, alpha_f = 3
    weight = rising_weight(progress, rise_start=0.1, rise_end=0.6, highest=3)
    assert weight == pytest.approx(expected)


@pytest.mark.parametrize(("progress", "expected"), [(0.49, 0), (0.5, 2), (0.51, 2)])
def test_a_rise_without_length_is_a_step(progress, expected):
    assert rising_weight(progress, rise_start=0.5, rise_end=0.5, highest=2) == expected


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        pytest.param(0.0, math.log(2), id="the labelled pixel alone, in full"),
        pytest.param(0.5, math.log(2) + 1.5 * math.log(4 / 3), id="half way to 3"),
        pytest.param(1.0, math.log(2) + 3 * math.log(4 / 3), id="at last"),
    ],
)
def test_loss_of_pseudo_label_by_hand(progress, expected):
    logits = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()  # the first is labelled by people
    moment = Moment(progress)  # one labelled and one pseudo-labelled image: Lee's Eq. 15 adds two means
    rule = partial(rising, rise_start=0, rise_end=1, alpha_f=3, moment=moment)
    labels, weight = torch.zeros(2, dtype=torch.int64), labelled_weight(True, moment)
    step = step_loss(logits, labels, torch.zeros(2), labelled=1, rule=rule, labelled_weight=weight)
    assert (step.total / step.counted).item() == pytest.approx(expected)


def test_every_label_is_in_exactly_one_case():
    logits, labels, confidence = random_batch()
    seen = compare(logits.softmax(dim=1), labels, confidence)
    cases = seen.agreement.int() + seen.negative.int() + seen.positive.int()
    assert torch.equal(cases, (labels != IGNORE).int())
    assert min(seen.agreement.sum(), seen.negative.sum(), seen.positive.sum()) > 0


def test_counts_of_a_batch_that_holds_each_case_once():
    probs = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1], [0.8, 0.2]])
    labels = torch.tensor([0, 1, 1, IGNORE, 0])
    confidence = torch.tensor([0.9, 0.9, 0.7, 0.9, 0.2])
    step = step_loss(probs.log(), labels, confidence, labelled=0, rule=uniform)
    assert step.statistics[-4:].tolist() == [4, 2, 1, 1]


def test_loss_of_two_pixels_by_hand():
    logits = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.25, 0.75]]).log()
    loss = weighted_cross_entropy(logits, torch.tensor([0, 1, IGNORE]), torch.tensor([1.0, 0.5, 7.0]))
    assert loss.item() == pytest.approx((math.log(2) + 0.5 * math.log(4 / 3)) / 2)


def test_zero_weighted_pixels_stay_in_the_denominator():
    logits, labels, _ = random_batch()
    half = torch.ones(labels.shape)
    half[:2] = 0
    expected = F.cross_entropy(logits[2:], labels[2:], ignore_index=IGNORE, reduction="sum") / (labels != IGNORE).sum()
    assert weighted_cross_entropy(logits, labels, half).item() == pytest.approx(expected.item())


def test_weights_of_one_give_the_plain_cross_entropy_and_its_gradient():
    logits, labels, _ = random_batch()
    ours, plain = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = weighted_cross_entropy(ours, labels, torch.ones(labels.shape))
    expected = F.cross_entropy(plain, labels, ignore_index=IGNORE)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, plain.grad)


def test_classification_shapes():
    logits, labels, weights = torch.zeros(3, 4), torch.tensor([0, 3, IGNORE]), torch.tensor([1.0, 0.5, 1.0])
    assert weighted_cross_entropy(logits, labels, weights).item() == pytest.approx(1.5 * math.log(4) / 2)


def test_a_batch_of_ignored_pixels_gives_zero_and_no_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.full((2, 4, 4), IGNORE), torch.ones(2, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_no_gradient_flows_through_the_weight():
    logits, labels, confidence = random_batch()
    through_step, through_constant = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    step = step_loss(through_step, labels, confidence, labelled=0, rule=dmt)
    (step.total / step.counted).backward()
    weights = dynamic_weight(logits.softmax(dim=1), labels, confidence, gamma1=3, gamma2=2)
    weighted_cross_entropy(through_constant, labels, weights).backward()
    torch.testing.assert_close(through_step.grad, through_constant.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32_under_autocast(dtype):
    logits, labels, confidence = random_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = weighted_cross_entropy(logits.to(dtype), labels, confidence)
        step = step_loss(logits.to(dtype), labels, confidence, labelled=1, rule=partial(flip, gamma1=3, gamma2=2))
    assert (loss.dtype, step.total.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(loss, weighted_cross_entropy(logits.to(dtype).float(), labels, confidence))


@pytest.mark.parametrize("rule", NUMBERS)
@pytest.mark.parametrize("labelled", [0, 1, 4])
def test_a_step_is_its_rule_and_the_weighted_cross_entropy(rule, labelled):
    logits, labels, confidence = random_batch()
    bound = bind(rule, NUMBERS[rule], Moment(progress=0.5))
    step = step_loss(logits, labels, confidence, labelled=labelled, rule=bound)

    target = bound(compare(logits.softmax(dim=1), labels, confidence))
    by_people = torch.arange(len(labels)).view(-1, 1, 1) < labelled
    expected_labels = torch.where(by_people, labels, target.labels)
    expected = weighted_cross_entropy(logits, expected_labels, torch.where(by_people, 1.0, target.weights))
    torch.testing.assert_close(step.total / step.counted, expected)
    assert step.counted == (expected_labels != IGNORE).sum()


def test_halves_of_a_batch_add_up_to_the_whole():
    logits, labels, confidence = random_batch()

    def step(images: slice, labelled: int):
        batch = logits[images], labels[images], confidence[images]
        return step_loss(*batch, labelled=labelled, rule=dmt)

    whole, first, second = step(slice(None), 1), step(slice(2), 1), step(slice(2, None), 0)
    torch.testing.assert_close(
        (first.total + second.total) / (first.counted + second.counted), whole.total / whole.counted
    )
    torch.testing.assert_close(first.statistics + second.statistics, whole.statistics, rtol=1e-6, atol=0)


def test_statistics_of_a_step_by_hand():
    probs = torch.tensor([[0.5, 0.5], [0.8, 0.2], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    labels = torch.tensor([0, 0, 1, 1, IGNORE])  # the first is labelled by people, then agreement, negative, positive
    step = step_loss(
        probs.log(),
        labels,
        torch.tensor([0.0, 0.9, 0.9, 0.7, 0.9]),
        labelled=1,
        rule=partial(disagreement, gamma1=1, gamma2=1),
    )
    loss = math.log(2) - 0.8 * math.log(0.8) - 0.4 * math.log(0.4)
    assert dict(zip(STATISTICS, step.statistics.tolist(), strict=True)) == pytest.approx(
        dict(counted=4, loss=loss, selected=3, weight=1.2, valid=3, agreement=1, negative=1, positive=1)
    )
    sums = dict(zip(STATISTICS, step.statistics.tolist(), strict=True))
    means = {"loss": sums["loss"] / sums["counted"], "weight": sums["weight"] / sums["selected"]}
    means |= {name: sums[name] / sums["valid"] for name in ("agreement", "negative", "positive")}
    assert means == pytest.approx(dict(loss=loss / 4, weight=0.4, agreement=1 / 3, negative=1 / 3, positive=1 / 3))


def test_a_summary_leaves_out_what_was_never_counted():
    logits, labels, confidence = random_batch()
    only_people = step_loss(logits, labels, confidence, labelled=len(labels), rule=dmt)
    assert only_people.statistics[2:].tolist() == [0] * 6


def test_counts_beyond_float32_stay_exact():
    one = torch.ones(len(STATISTICS), dtype=torch.float64)
    logits, labels, confidence = random_batch()
    step = step_loss(logits, labels, confidence, labelled=1, rule=uniform)
    assert (step.statistics + 2**24 * one)[0].item() == step.counted.item() + 2**24


def test_a_comparison_carries_no_gradient():
    logits, labels, confidence = random_batch()
    seen: Comparison = compare(logits.requires_grad_().softmax(dim=1), labels, confidence)
    assert not any(tensor.requires_grad for tensor in seen)


@pytest.mark.parametrize("bad", [dict(gamma1=-1.0), dict(gamma2=-0.5), dict(gamma1=math.nan)])
def test_an_exponent_out_of_range_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        dynamic_weight(*one_pixel([0.6, 0.4], 0, 0.9), **dict(gamma1=1.0, gamma2=1.0) | bad)


def test_tensors_of_different_pixels_are_refused():
    logits, labels, confidence = random_batch()
    with pytest.raises(ValueError, match="labels and confidence"):
        compare(logits, labels, confidence[:, 1:])
    with pytest.raises(ValueError, match="same pixels"):
        compare(logits, labels[:2], confidence[:2])
    with pytest.raises(ValueError, match="labelled must be between 0 and the batch size 4, but got 5"):
        step_loss(logits, labels, confidence, labelled=5, rule=uniform)


def test_the_exponents_ramp_up_over_a_training():
    grown = [ramped(1.0, True, Moment(progress)) for progress in (0, 0.5, 1)]
    assert grown == pytest.approx([math.exp(-5), math.exp(-1.25), 1])


@pytest.mark.parametrize(("rule", "expected"), [("disagreement", 0.4**1.5), ("confidence", 0.4**1), ("flip", 0.4**1.5)])
def test_a_ramp_halves_both_exponents_where_it_is_at_one_half(rule, expected):
    half = Moment(progress=1 - math.sqrt(math.log(2) / 5))
    target = bind(rule, NUMBERS[rule] | {"ramp": True}, half)(compare(*one_pixel([0.6, 0.4], 1, 0.9)))
    assert target.weights.item() == pytest.approx(expected)


def test_a_flipped_label_has_a_ramp_too():
    half = Moment(progress=1 - math.sqrt(math.log(2) / 5))
    target = flip(compare(*one_pixel([0.9, 0.1], 1, 0.7)), gamma1=2, gamma2=4, ramp=True, moment=half)
    assert target.weights.item() == pytest.approx(0.3**2)


def test_without_a_ramp_the_exponents_do_not_follow_the_progress():
    assert ramped(2, False, Moment(progress=0.0)) == 2


@pytest.mark.parametrize(("batch", "expected"), [((1, 7), 3 * 8 / 7), ((2, 6), 3 * 8 / 6), ((4, 4), 3 * 2)])
def test_alpha_balances_two_means_and_so_a_pixel_weighs_by_the_batch(batch, expected):
    seen = compare(*one_pixel([0.6, 0.4], 0, 0.9))
    target = bind("rising", {"rise_start": 0.1, "rise_end": 0.6, "alpha_f": 3.0}, Moment(1.0, batch))(seen)
    assert target.weights.item() == pytest.approx(expected)
