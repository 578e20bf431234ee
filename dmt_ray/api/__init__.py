"""The Python API, as `import dmt_ray` offers it; `dmt run` and notebooks call the same functions."""
