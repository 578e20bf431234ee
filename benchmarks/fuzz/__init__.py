"""Do the readers of files from outside refuse every damaged file? `python -m benchmarks.fuzz --minutes 60`."""
