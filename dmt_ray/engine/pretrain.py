"""Pretrain: train a model on labelled images alone."""

from dmt_ray.data.splits import divide, dms_half
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.coarse import partly_coarse
from dmt_ray.engine.one_model import new_network, train_one
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.pretrain import Pretrain


def pretrain(config: Pretrain, work: Workspace) -> int:
    """Train a model on labelled images alone; writes the model and history.csv.

    Returns:
        Optimizer steps.
    """
    parts = divide(config.split, config.data, work.dataset)
    train = work.dataset.subsets["train"]
    labelled = {
        "labelled": parts.labelled,
        "dms": dms_half(parts.labelled, config.dms_alpha, config.side) if config.images == "dms" else (),
        "all": (*parts.labelled, *(i for i in parts.unlabelled if train.known[i])),
    }[config.images]
    network, description = new_network(config.model, config.side, 0, work)
    truth = partly_coarse(train, config.coarse, fine=parts.labelled) if config.coarse else None
    loader = BatchLoader(work, config.training, labelled, None, RngStream(work.seed, config.side, 0), truth)
    return train_one(network, description, config, loader, None, work)
