"""Performs stages: in this process, by a group of workers, or as tasks on Ray."""
