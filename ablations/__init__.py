"""Ablations, one question a script, and the tables that they fill."""
