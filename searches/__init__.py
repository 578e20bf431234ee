"""Searches, one question per script: `dmt sweep` lists them."""
