"""Labels from elsewhere: masks that another program, another network or a person has drafted."""

from pydantic import Field

from dmt_ray.config.settings import PositiveFraction, Settings


class External(Settings):
    """Masks from elsewhere that teach in place of the first teacher of DMT and of self-training.

    Of each class those pixels count that are confident enough to be right as often as `external.precision` says on the
    labelled images; see docs/how-to/labels-from-elsewhere.md.
    """

    not_identity = frozenset({"masks", "confidence"})

    masks: str | None = Field(
        None,
        description="Folder of the masks: a PNG of class numbers 0, 1, ... and 255 (no label) for each train image, "
        "under its id; none: models alone teach.",
    )
    confidence: str | None = Field(
        None,
        description="Folder of grey PNG files of the masks' names: how confident each pixel's label is, the largest "
        "value of 8 or 16 bits standing for 1; none: each label has confidence 1.",
    )
    precision: PositiveFraction = Field(
        0.9, description="Smallest fraction of right pixels, on the labelled images, among those of a class that count."
    )
    fingerprint: str = Field("", description="Digest of the files; filled in when they are opened.")
