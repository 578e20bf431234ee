"""Searches over plans: Ray Tune runs the trials, Optuna proposes their settings and remembers them."""
