"""Real Ray clusters for tests."""

import socket


def free_port() -> int:
    """A port that Ray may listen on: it keeps 10002 to 19999 for its workers."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if not 10002 <= port <= 19999:
            return port
