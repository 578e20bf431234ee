"""A network that several workers train as if they were one: summed gradients, and BatchNorm over the global batch."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dmt_ray.engine.team import Team


def spread(network: nn.Module, team: Team, *, compiled: bool = False) -> nn.Module:
    """The network as the team trains it; alone, and not compiled, the network itself.

    Every BatchNorm of ``network`` is changed in place to take its statistics over the whole team's batch: the global
    batch is what a key names, so its numbers must not depend on how many workers share it. The state dict stays the
    same.

    Args:
        network: On its device.
        team: The workers; all call this with equal weights.
        compiled: Whether it goes through torch.compile. What is returned is a wrapper: ``network`` stays as it is.
    """
    if team.size == 1:
        return torch.compile(network) if compiled else network  # type: ignore[return-value]  # it has no type of its own
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            # In place: timm's BatchNorm with an activation has to keep its parts, and the names its parameters.
            module.__class__ = _TeamBatchNorm
            vars(module)["team"] = team
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")  # its successor is too new
        # The layers above keep the statistics equal. A static graph: some encoders have parameters that no output
        # depends on.
        return DistributedDataParallel(
            torch.compile(network) if compiled else network,
            process_group=team.group,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            static_graph=True,
        )


class _TeamBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batches of all workers of a team, N = 0 of some included.

    torch's own SyncBatchNorm is for GPUs only, waits for the device in every call, and cannot take N = 0 in bfloat16.
    """

    team: Team

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            y = self._over_the_team(x)
        else:
            y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        for name in ("drop", "act"):  # of timm's BatchNormAct2d
            if hasattr(self, name):
                y = getattr(self, name)(y)
        return y

    def _over_the_team(self, x: Tensor) -> Tensor:
        result: tuple[Tensor, ...] = _Normalise.apply(x, self.weight, self.bias, self.eps, self.team)
        y, mean, variance, count = result
        if self.training and self.track_running_stats and self.running_mean is not None:
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), share)
        return y


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, team: Team
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        channels, dims = x.shape[1], [d for d in range(x.dim()) if d != 1]
        if x.numel():
            wide = x if x.dtype == torch.float64 else x.float()
            own_variance, own_mean = torch.var_mean(wide, dim=dims, correction=0)
        else:
            own_variance = own_mean = torch.zeros(channels, device=x.device)
        count = torch.full((1,), x.numel() / channels, dtype=torch.float64, device=x.device)
        rows = team.rows(torch.cat([own_mean.double(), own_variance.double(), count]))
        means, variances, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        # Of the means among themselves, and within each worker; the mean of squares would lose digits.
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / total
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        mean, variance, total = mean.to(dtype), variance.to(dtype), total.to(dtype)
        y = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, variance, total)
        ctx.eps, ctx.team = eps, team
        ctx.mark_non_differentiable(mean, variance, total)
        return y, mean, variance, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, total = ctx.saved_tensors
        if x.numel():
            # Not training: the statistics are given, and none are saved. CUDA wants tensors for these all the same.
            none = mean.new_empty(0)
            through, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                slope, x, weight, mean, variance, none, none, False, ctx.eps, [True, True, True]
            )
        else:  # which torch divides by
            through, of_weight, of_bias = slope, torch.zeros_like(mean), torch.zeros_like(mean)
        # What every pixel changes in the statistics: -(sum of slopes) / n - xhat * (sum of slopes * xhat) / n.
        by_weight, by_bias = ctx.team.add(torch.cat([of_weight, of_bias])).chunk(2)
        inverse = (variance + ctx.eps).rsqrt()
        scale = inverse / total if weight is None else weight * inverse / total
        factor = -scale * inverse * by_weight
        shift = -scale * by_bias - factor * mean
        shape = [1, -1] + [1] * (x.dim() - 2)
        through = (through + torch.addcmul(shift.view(shape), x, factor.view(shape))).to(x.dtype)
        if weight is None:
            return through, None, None, None, None
        return through, of_weight, of_bias, None, None
