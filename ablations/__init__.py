"""Ablations, one question a script: `dmt ablate` lists them."""
