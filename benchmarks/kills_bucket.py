"""An S3 server that keeps what it has acknowledged when it is killed: `python kills_bucket.py FOLDER PORT`.

It is moto's, which has its objects in memory only. Here each object is also written to a file before the client learns
that it is stored, and put in again at the next start. Objects that come in several parts (5 MB and more) are refused.
"""

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.test import Client
from werkzeug.wsgi import get_input_stream


class Durable:
    """Moto's application with a folder behind it."""

    def __init__(self, application: Any, folder: Path) -> None:
        self._application, self._folder = application, folder
        folder.mkdir(parents=True, exist_ok=True)
        client = Client(application)
        kept = [json.loads(file.with_suffix(".json").read_text()) | {"file": file} for file in folder.glob("*.body")]
        for request in sorted(kept, key=lambda request: len(request["path"].split("/"))):  # the bucket comes first
            answer = client.put(request["path"], headers=request["headers"], data=request["file"].read_bytes())
            assert answer.status_code == 200, answer.text

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if environ["REQUEST_METHOD"] == "POST" and "uploads" in environ.get("QUERY_STRING", ""):
            start_response("501 Not Implemented", [])
            return [b"objects in parts are not kept"]
        if environ["REQUEST_METHOD"] != "PUT":
            answered: Iterable[bytes] = self._application(environ, start_response)
            return answered
        body = get_input_stream(environ).read()
        environ["wsgi.input"] = io.BytesIO(body)
        answer: list[Any] = []
        content = b"".join(self._application(environ, lambda *head: answer.extend(head)))
        if answer[0].startswith("200"):
            self._keep(environ, body)
        start_response(*answer)
        return [content]

    def _keep(self, environ: dict[str, Any], body: bytes) -> None:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").title(): value
            for name, value in environ.items()
            if isinstance(value, str) and (name.startswith("HTTP_") or name == "CONTENT_TYPE")
        }
        headers.pop("Transfer-Encoding", None)
        path = environ["RAW_URI"].partition("?")[0]
        file = self._folder / hashlib.sha256(path.encode()).hexdigest()
        # The body comes last: a request without one does not count.
        for suffix, text in ((".json", json.dumps({"path": path, "headers": headers}).encode()), (".body", body)):
            draft = file.with_suffix(f"{suffix}.{os.getpid()}.{id(body)}")
            draft.write_bytes(text)
            draft.replace(file.with_suffix(suffix))


def main() -> None:
    """Serve until killed."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    application = Durable(DomainDispatcherApplication(create_backend_app), folder)
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
