"""What `import dmt_ray` offers: whole experiments from Python. `dmt run` and notebooks call the same functions."""
