"""dmt_ray."""
