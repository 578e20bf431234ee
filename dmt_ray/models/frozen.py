"""Encoders that keep their weights, or the statistics of their BatchNorm, while the rest of a network learns."""

from torch import nn

from dmt_ray.config import Model
from dmt_ray.errors import ModelError

STILL = "stays_in_eval_mode"  # attribute of the modules that no training sets to training mode


def encoder_of(network: nn.Module) -> nn.Module | None:
    """The encoder of a network, where it has one that is set apart."""
    encoder = getattr(network, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None


def freeze(network: nn.Module, model: Model) -> None:
    """Let a network's encoder keep what the settings say; trainings then call `train_mode`.

    Raises:
        ModelError: If the network has no encoder, or none with BatchNorm, to keep anything of.
    """
    if not (model.frozen or model.frozen_statistics):
        return
    name, encoder = "model.frozen" if model.frozen else "model.frozen_statistics", encoder_of(network)
    if encoder is None:
        raise ModelError(
            f"{name} is for a network on an encoder, but {model.architecture} has none. Set it to false, or use "
            "another architecture, such as FPN"
        )
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if model.frozen:
        encoder.requires_grad_(False)
        setattr(encoder, STILL, True)
    elif not norms:
        raise ModelError(f"model.frozen_statistics is for an encoder with BatchNorm, but {model.encoder} has none")
    for norm in norms:
        setattr(norm, STILL, True)


def train_mode(network: nn.Module) -> None:
    """Set a network to training mode, but for what is frozen."""
    network.train()
    for module in network.modules():
        if getattr(module, STILL, False):
            module.eval()
