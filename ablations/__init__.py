"""Ablations, one question per script: `dmt ablate` lists them."""
