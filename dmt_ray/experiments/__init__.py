"""Experiments: named sets of members, each a plan. A run is one, an ablation knows them, a sweep grows them."""
