"""Hyperparameter search and ablations for Dynamic Mutual Training on Ray, Optuna and MLflow."""

IGNORE = 255
"""The label of a pixel that neither teaches nor is scored: unlabelled, padding, or a dropped pseudo label."""
