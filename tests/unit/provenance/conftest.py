"""A small output folder made by hand: a log with its key, WARC files of plain gzip members."""

import gzip
import hashlib
import itertools
import uuid
from pathlib import Path

import pytest

from provenance import keys
from provenance.entry import (
    VERSION,
    ConfigEntry,
    DecisionEntry,
    EvidenceEntry,
    FileEntry,
    Http,
    LoggedSignal,
    Pointer,
    RunEntry,
    SealEntry,
    new_nonce,
    timestamp,
)
from provenance.links import finished_files
from provenance.log import LogWriter
from provenance.tree import leaf_hash
from reservations.model import Category, Value, Verdict

ORIGIN = "crawler.example.org/test"
NOW = 1_795_420_800_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def sha256(octets):
    return "sha256:" + hashlib.sha256(octets).hexdigest()


def decision(seq, **fields):
    known = {
        "v": VERSION,
        "seq": seq,
        "n": new_nonce(),
        "ts": timestamp(NOW + seq),
        "run": "r1",
        "url": f"https://example.org/{seq}",
        "via": "seed",
        "lease": seq,
        "verdict": Verdict.REFUSED,
        "reason": "robots.disallow",
        "gate": "origin",
        "agent": "KnockfirstBot",
        "purposes": (Category.GENAI_TRAIN,),
        "config": 1,
    }
    return DecisionEntry(**(known | fields))


class Crawled:
    """Writes an output folder the way a crawl does, without one."""

    def __init__(self, out, key):
        self.out, self.key = out, key
        self.log = LogWriter.open(out / "log", ORIGIN, key)
        self._serial = itertools.count()
        self._sizes = {}
        self.counts, self.finals = {}, {}
        self.enter(
            RunEntry,
            origin=ORIGIN,
            software="knockfirst 0",
            code="sha256:0",
            operator="Example",
            contact="https://example.org/bot",
            agent="KnockfirstBot/0",
            token="KnockfirstBot",
            purposes=(Category.GENAI_TRAIN,),
            spider="web",
            key=self.log.verifier.line(),
        )
        self.config = self.enter(
            ConfigEntry, rules="sha256:1", policy="sha256:2", policy_name="p 1", protocols="sha256:3"
        )
        self.store("warc", "warcinfo", "", b"software: test\r\n")
        self.store("evidence", "warcinfo", "", b"software: test\r\n")

    def enter(self, kind, **fields):
        seq = self.log.next_seq
        head = {"v": VERSION, "seq": seq, "n": new_nonce(), "ts": timestamp(NOW + seq), "run": "r1"}
        return self.log.append(kind(**(head | fields)))

    def store(self, folder, kind, url, block, *fields, pd=None):
        record_id = f"urn:uuid:{uuid.uuid4()}"
        lines = ["WARC/1.1", f"WARC-Type: {kind}", f"WARC-Record-ID: <{record_id}>", "WARC-Date: 2026-11-22T08:00:00Z"]
        lines += [f"WARC-Target-URI: {url}"] if url else []
        lines += [*fields, f"Content-Length: {len(block)}"]
        member = gzip.compress("\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n", mtime=0)
        path = self.out / folder / f"{folder}-0.warc.gz"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            offset = file.tell()
            file.write(member)
        return Pointer(
            f=f"{folder}/{path.name}", o=offset, l=len(member), id=record_id, type=kind, d=sha256(block), pd=pd
        )

    def robots(self, authority="https://example.org"):
        url = authority + "/robots.txt"
        body = b"User-agent: *\nDisallow: /private\n"
        pointer = self.store("evidence", "response", url, HEAD + body, pd=sha256(body))
        return self.enter(
            EvidenceEntry,
            key="/robots.txt",
            url=url,
            authority=authority,
            outcome="200",
            st=200,
            fetched=NOW,
            expires=NOW + 86_400_000,
            d=sha256(body),
            len=len(body),
            warc=(pointer,),
        )

    def decide(self, **fields):
        entry = decision(self.log.next_seq, config=self.config, lease=next(self._serial), **fields)
        self.counts[entry.verdict] = self.counts.get(entry.verdict, 0) + 1
        if entry.final:
            self.finals[entry.verdict] = self.finals.get(entry.verdict, 0) + 1
        return self.log.append(entry)

    def raw(self, line):
        """Puts a line into the log, whatever it is, as the holder of the key can."""
        self.log._tree.append(leaf_hash(line))
        self.log._waiting.append(line)

    def kept(self, url, body=b"<p>Hello</p>", *, warc=None, **fields):
        if warc is None:
            response = self.store("warc", "response", url, HEAD + body, pd=sha256(body))
            warc = (response, self.store("warc", "request", url, b"GET / HTTP/1.1\r\n\r\n"))
        http = Http(st=200, ct="text/html", len=len(body))
        known = {"verdict": Verdict.KEPT, "reason": "policy.open", "gate": "body", "final": True}
        return self.decide(url=url, http=http, warc=warc, **(known | fields))

    def refused(self, url, robots, **fields):
        signal = LoggedSignal(
            p="robots",
            reason="robots.disallow",
            carrier="robots_txt",
            src="/robots.txt",
            loc="line 2",
            rule="Disallow: /private",
            strict={Category.CRAWL: Value.DENY},
            effective={Category.CRAWL: Value.DENY},
            ev=robots,
        )
        return self.decide(url=url, final=True, signals=(signal,), consulted={"/robots.txt": robots}, **fields)

    def finish(self, end="finished"):
        files = list(finished_files(self.out, set()))
        for name, size, digest in files:
            self.enter(FileEntry, f=name, size=size, d=digest)
        self.enter(SealEntry, end=end, counts=self.counts, finals=self.finals, files=len(files))
        self.log.close()


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    return keys.generate(tmp_path_factory.mktemp("keys") / "log.key")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def crawled(out, key):
    return Crawled(out, key)


@pytest.fixture
def whole(crawled) -> Path:
    """The folder of a finished crawl of a few pages."""
    robots = crawled.robots()
    crawled.kept("https://example.org/a")
    crawled.refused("https://example.org/private/b", robots)
    crawled.log.sync()
    crawled.log.checkpoint()
    crawled.kept("https://example.org/c", b"<p>C</p>")
    crawled.finish()
    return crawled.out


@pytest.fixture(scope="session")
def entries():
    """Makes decision entries by `seq`."""
    return decision
