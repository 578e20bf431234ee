"""What lies in a folder of someone's own: which files are images and masks, and what they hold (`dmt data init`)."""

from dmt_ray.data.survey.contents import Masks, Pictures, look_at_masks, look_at_pictures
from dmt_ray.data.survey.layout import Layout, layout_of

__all__ = ["Layout", "Masks", "Pictures", "layout_of", "look_at_masks", "look_at_pictures"]
