"""A small web on loopback, said in a table: names, paths, answers; and what its visitors asked for, in order.

One listener serves every name (told apart by Host), so that a crawl needs one port. A `Reply` may wait for an event of
the test: nothing here waits for time.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PATIENCE_S = 30.0
"""After this a gate that nobody opened, or a request that nobody made, is an error of the test."""


@dataclass
class Reply:
    """One answer.

    Attributes:
        body: text of the page; HTML unless `headers` say otherwise.
        status: of the answer.
        headers: beside Content-Length.
        gate: the answer is sent when it is set.
    """

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None


def page(*links: str, text: str = "Nothing is reserved here.", head: str = "") -> Reply:
    """An HTML page with links."""
    anchors = "".join(f'<a href="{link}">{link}</a>\n' for link in links)
    return Reply(f"<!DOCTYPE html><title>page</title>{head}<p>{text}</p>\n{anchors}")


def robots(text: str, *, gate: threading.Event | None = None) -> Reply:
    """A robots.txt."""
    return Reply(text, headers={"Content-Type": "text/plain"}, gate=gate)


Web = Mapping[str, Mapping[str, Reply]]


class Site:
    """A running web. Made by `serving`.

    Attributes:
        web: answers by name and path; what is not there is answered 404.
        port: that every name is served on.
        log: URL of every request, in the order of arrival.
        agents: User-Agent of every request, likewise.
    """

    def __init__(self, web: Web, port: int) -> None:
        self.web, self.port = web, port
        self.log: list[str] = []
        self.agents: list[str] = []
        self._arrived = threading.Condition()

    def url(self, place: str) -> str:
        """`a.example/x` as a URL."""
        name, _, path = place.partition("/")
        return f"http://{name}:{self.port}/{path}"

    @property
    def resolve(self) -> str:
        """For KNOCKFIRST_RESOLVE."""
        return ",".join(f"{name}=127.0.0.1" for name in self.web)

    @property
    def asked(self) -> list[str]:
        """What was asked for, as `name/path`."""
        return [f"{urlsplit(url).hostname}{url.split('/', 3)[3] and '/' + url.split('/', 3)[3]}" for url in self.log]

    def pages(self, name: str) -> list[str]:
        """Paths of pages, not of files about the origin, that were asked for on one name."""
        about = ("/robots.txt", "/ai.txt", "/trust.txt", "/.well-known/")
        paths = [urlsplit(url).path for url in self.log if urlsplit(url).hostname == name]
        return [path for path in paths if not path.startswith(about)]

    def wait_for(self, place: str, times: int = 1) -> None:
        """Returns when a URL has been asked for."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.log.count(self.url(place)) >= times, PATIENCE_S):
                raise AssertionError(f"{place} was never asked for; {self.log} were")

    def wait_for_any(self, *places: str) -> str:
        """Returns the first of some URLs that has been asked for, when one has."""
        urls = {self.url(place): place for place in places}
        with self._arrived:
            self._arrived.wait_for(lambda: urls.keys() & set(self.log), PATIENCE_S)
            return urls[next(url for url in self.log if url in urls)]

    def note(self, url: str, agent: str) -> None:
        """A request has arrived."""
        with self._arrived:
            self.log.append(url)
            self.agents.append(agent)
            self._arrived.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Site

    def do_GET(self) -> None:
        host = self.headers["Host"]
        self.site.note(f"http://{host}{self.path}", self.headers["User-Agent"])
        known = self.site.web.get(host.partition(":")[0], {})
        reply = known.get(self.path, Reply("", 404))
        if reply.gate is not None and not reply.gate.wait(PATIENCE_S):
            raise AssertionError(f"nobody opened the gate of {self.path}")
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        self.send_response(reply.status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests read `Site.log`."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A visitor that leaves in the middle is none of our business."""


@contextmanager
def serving(web: Web):
    """Run a web until the block ends."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        site = handler.site = Site(web, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            for reply in (reply for paths in web.values() for reply in paths.values()):
                if reply.gate is not None:
                    reply.gate.set()
            server.shutdown()
            thread.join()
