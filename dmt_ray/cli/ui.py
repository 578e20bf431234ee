"""`dmt ui`: MLflow in the browser."""

import argparse
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.errors import ConfigError
from dmt_ray.files import sqlite_url
from dmt_ray.tracking.connection import DATABASE, relocate
from dmt_ray.tracking.view import start_page

PATIENCE = 300.0  # seconds for the server to answer; MLflow takes ten on a machine that is not busy


def browse(options: argparse.Namespace) -> int:
    """Run the MLflow server until Ctrl-C, and open the list of training runs.

    Returns:
        0, or 1 if the port is taken or the server fails.

    Raises:
        ConfigError: If there is nothing to show, or no server can listen there.
    """
    database = options.storage.absolute() / DATABASE
    if not database.exists():
        raise ConfigError(
            f"there is nothing to show yet: {database} does not exist. Run `dmt sweep gamma_sweep` or `dmt run` first."
        )
    if taken := _taken(options.host, options.port):
        print(f"error: {taken}", file=sys.stderr)
        return ExitCode.FAILED
    relocate(options.storage)
    host = "localhost" if _means_all_addresses(options.host) else options.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{options.port}"
    print(f"starting MLflow on {address} (Ctrl-C stops it) ...", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", sqlite_url(database)]
    command += ["--host", options.host, "--port", str(options.port), "--workers", "1"]
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet = {"PYTHONWARNINGS": "ignore"}  # of packages that MLflow is built on
    server = subprocess.Popen(command, env=quiet | dict(os.environ) | own)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    page = f"{address}/{start_page(options.storage)}"
    threading.Thread(target=_show, args=(server, f"{address}/health", page), daemon=True).start()
    try:
        status = server.wait()
    except KeyboardInterrupt:  # the terminal sends it to the server, too
        server.wait()
        return ExitCode.DONE
    return ExitCode.FAILED if status > 0 else ExitCode.DONE


def _means_all_addresses(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


def _show(server: "subprocess.Popen[bytes]", health: str, page: str) -> None:
    """When the server answers, print where the training runs are, and open the page if there is a screen."""
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(health, timeout=5).close()
        except OSError:
            time.sleep(0.5)
            continue
        print(f"training runs: {page}", flush=True)
        if sys.stdout.isatty() and has_screen(sys.platform, os.environ):
            webbrowser.open(page)
        return


def has_screen(platform: str, environment: "os._Environ[str] | dict[str, str]") -> bool:
    """Whether a browser would open in a window, and not in the terminal."""
    return platform in ("darwin", "win32") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _taken(host: str, port: int) -> str:
    """A sentence if another program listens on a port; "": it is free.

    Raises:
        ConfigError: If it is no port, or the host is not of this machine.
    """
    if not 1 <= port <= 65535:
        raise ConfigError(f"--port must be from 1 to 65535, but got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if owner := _owner(port):
            return f"port {port} is taken by {owner}. Choose another --port, or end that program."
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}. Choose another --port or --host") from None
    return ""


def _owner(port: int) -> str:
    """The program that listens on a port, as far as this user may know; "": none does."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # on macOS
        return ""
    listening = [one for one in connections if one.status == psutil.CONN_LISTEN and one.laddr.port == port]
    if not listening:
        return ""
    known = next((one.pid for one in listening if one.pid), None)
    try:
        if known is None:
            return "another user's program"
        process = psutil.Process(known)
        return f"process {known}, `{' '.join(process.cmdline())[:200]}`, of {process.username()}"
    except psutil.Error:  # it has ended, or is another user's
        return f"process {known}"
