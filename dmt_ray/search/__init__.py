"""Searches over plans: Ray Tune runs the trials, Optuna proposes and stores their settings."""
