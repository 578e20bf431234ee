"""Experiments: named sets of plans (members). A run has one; an ablation's are fixed; a sweep adds them as it runs."""
