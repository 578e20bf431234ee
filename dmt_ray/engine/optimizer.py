"""How weights are changed: the optimizer, its learning rate, the cut of long gradients and the scale of the loss."""

from collections.abc import Iterator, Sequence
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from dmt_ray.config import Training
from dmt_ray.models import encoder_of

FACTOR = "factor"  # of the learning rate, in each of an optimizer's groups
SCALER = "scaler."  # what a checkpoint calls the numbers of the loss's scale


def optimizer_of(networks: Sequence[nn.Module], training: Training, *, fused: bool = False) -> Optimizer:
    """The optimizer of a training, for all weights that are trained.

    AdamW's weight decay is decoupled: a step multiplies a weight by ``1 - rate * decay`` and then subtracts
    ``rate * m / (sqrt(v) + 1e-8)``, with m and v free of their bias to 0 (Loshchilov & Hutter 2019, Algorithm 2);
    m decays by `training.momentum`, v by 0.999.

    Args:
        networks: On the device; weights that need no gradient are left out.
        training: Its settings.
        fused: Whether a step is one kernel on the GPU, which a scaled loss needs so that the host never waits.
    """
    groups = list(_groups(networks, training))
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "adamw":
        betas = (training.momentum, 0.999)
        return AdamW(groups, lr=rate, betas=betas, weight_decay=decay, foreach=not fused, fused=fused)
    return SGD(groups, lr=rate, momentum=training.momentum, weight_decay=decay, foreach=not fused, fused=fused)


def _groups(networks: Sequence[nn.Module], training: Training) -> Iterator[dict[str, object]]:
    """The weights by the factor of their learning rate; one group where it is the same for all."""
    encoder: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    every: list[nn.Parameter] = []
    for network in networks:
        own = encoder_of(network)
        within = set() if own is None else {id(parameter) for parameter in own.parameters()}
        for parameter in network.parameters():
            if parameter.requires_grad:
                every.append(parameter)
                (encoder if id(parameter) in within else head).append(parameter)
    if training.encoder_rate == training.head_rate:
        yield {"params": every, FACTOR: training.head_rate}
        return
    for parameters, factor in ((encoder, training.encoder_rate), (head, training.head_rate)):
        if parameters:
            yield {"params": parameters, FACTOR: factor}


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Let the next step have a learning rate, times the factor of each group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTOR]


def learning_rate(training: Training, step: int, total: int) -> float:
    """Of step 0 ... total-1, before the factors of encoder and head.

    In ``w`` steps of warm-up it is ``lr * (step + 1) / (w + 1)``. After them, of the ``n`` steps that remain, step s =
    0 ... n-1 has ``lr * (1 - s / n) ** power`` (poly), ``lr * (1 + cos(pi * s / n)) / 2``, a cosine that falls to 0
    (DMT, Sec. 5.2.2, segmentation and classification), or ``lr`` itself.
    """
    warmup = warmup_steps(training, total)
    if step < warmup:
        return training.learning_rate * (step + 1) / (warmup + 1)
    step, total = step - warmup, total - warmup
    if training.schedule == "cosine":
        return training.learning_rate * (1 + cos(pi * step / total)) / 2
    if training.schedule == "constant":
        return training.learning_rate
    return training.learning_rate * float((1 - step / total) ** training.poly_power)


def warmup_steps(training: Training, total: int) -> int:
    """Steps of the warm-up: those that are set, or a fraction of all, rounded; the last step is never one of them."""
    steps = training.warmup if isinstance(training.warmup, int) else round(training.warmup * total)
    return min(steps, total - 1)


class Update:
    """Changes weights by their gradients: the one place where a step is cut, scaled and taken.

    In float16 small gradients would vanish. The loss is therefore scaled up and the gradients down again; steps whose
    gradients overflow are left out, and the scale is halved (Micikevicius et al. 2018).

    Args:
        networks: On the device; each has its gradients cut by itself.
        training: Its settings.
        device: Where the networks are.
    """

    def __init__(self, networks: Sequence[nn.Module], training: Training, device: torch.device) -> None:
        half = training.precision == "float16"
        self.optimizer = optimizer_of(networks, training, fused=half)
        self._clip = training.clip_norm
        self._trained = [[one for one in network.parameters() if one.requires_grad] for network in networks]
        self._scaler = torch.amp.GradScaler(device.type) if half else None

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the step."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def step(self, rate: float) -> None:
        """Take a step with the gradients that are there.

        Args:
            rate: Its learning rate, before the factors of encoder and head.
        """
        set_rate(self.optimizer, rate)
        if self._clip:
            if self._scaler is not None:
                self._scaler.unscale_(self.optimizer)
            for parameters in self._trained:
                nn.utils.clip_grad_norm_(parameters, self._clip, foreach=True)
        if self._scaler is None:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()

    def state(self) -> dict[str, Tensor]:
        """What the next steps depend on beside the weights, by name: moments and counts of each weight, the scale."""
        tensors = {}
        for place, parameter in enumerate(self._parameters()):
            for name, value in self.optimizer.state[parameter].items():
                if value is not None:
                    tensors[f"{name}.{place}"] = value
        if self._scaler is not None:
            scale = self._scaler.state_dict()
            tensors |= {f"{SCALER}{name}": torch.tensor(value, dtype=torch.float64) for name, value in scale.items()}
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` was, in another process too."""
        parameters = self._parameters()
        scale = {name.removeprefix(SCALER): value.item() for name, value in tensors.items() if name.startswith(SCALER)}
        if self._scaler is not None and scale:
            self._scaler.load_state_dict(
                {name: type(old)(scale[name]) for name, old in self._scaler.state_dict().items()}
            )
        for key, value in tensors.items():
            if key.startswith(SCALER):
                continue
            name, _, place = key.rpartition(".")
            parameter = parameters[int(place)]
            if name == "step":  # which only a fused optimizer counts on the device
                where = parameter.device if self.optimizer.defaults["fused"] else torch.device("cpu")
                kept = value.to(where)
            else:
                kept = torch.empty_like(parameter, dtype=value.dtype).copy_(value)  # in the weight's memory format
            self.optimizer.state[parameter][name] = kept

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
