"""The `dmt` command, and the command lines of searches and ablations."""
