"""Searches, one question a script: `dmt sweep` lists them."""
