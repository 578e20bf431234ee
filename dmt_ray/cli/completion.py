"""`dmt completion`: what makes a shell complete the words of `dmt`."""

import argparse

from argcomplete.shell_integration import shellcode


def print_script(options: argparse.Namespace) -> None:
    """Print the script that the shell has to read, as from its start file."""
    print(shellcode(["dmt"], shell=options.shell))
