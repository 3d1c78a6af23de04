"""A hub on this machine: the answers that fetching one repository needs, and those that refuse it."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants
from v2v_export.hub import forget

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """A server on a port of its own.

    Args:
        files: what the repository ``some/pipe`` holds.
        refusal: status, error code and message of every answer, in place of the repository.

    Attributes:
        asked: method and path of every request so far.
    """

    def __init__(self, files: Mapping[str, bytes], refusal: tuple[int, str, str] | None = None) -> None:
        self.files, self.refusal = dict(files), refusal
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """HEAD as well."""
                hub.asked.append(f"{self.command} {self.path}")
                status, headers, body = hub.answer(self.path.partition("?")[0])
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """From now on nothing listens there."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        if self.refusal is not None:
            status, code, message = self.refusal
            return status, {"X-Error-Code": code, "X-Error-Message": message}, b"{}"
        if path in ("/api/models/some/pipe", "/api/models/some/pipe/revision/main"):
            siblings = [{"rfilename": name} for name in self.files]
            return 200, {}, json.dumps({"id": "some/pipe", "sha": COMMIT, "siblings": siblings}).encode()
        if path == f"/api/models/some/pipe/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.files.items()
            ]
            return 200, {}, json.dumps(tree).encode()
        name = path.removeprefix(f"/some/pipe/resolve/{COMMIT}/")
        if name not in self.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        data = self.files[name]
        return 200, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}, data


@contextmanager
def asking(url: str, cache: Path) -> Iterator[None]:
    """The hub is at ``url``, whatever the environment says, and fetches go into ``cache``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "*")
        patch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        forget()
        close_session()
        try:
            yield
        finally:
            forget()
            close_session()


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port that refuses connections: it is taken, and nothing listens on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
