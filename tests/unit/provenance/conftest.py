"""A small output folder made by hand: a log with its key, WARC files of plain gzip members, decisions by real rules."""

import gzip
import hashlib
import itertools
import uuid
from contextlib import closing, suppress
from pathlib import Path

import msgspec
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
from provenance.rules import Rules, shipped_protocols
from provenance.segments import LogError
from provenance.sites import site_tree
from provenance.tree import leaf_hash
from reservations.model import Answer, Category, Facts, Head, Header, Verdict, Want, Wants

ORIGIN = "crawler.example.org/test"
NOW = 1_795_420_800_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
ABSENT = b"HTTP/1.1 404 Not Found\r\n\r\n"
HTML = (Header("Content-Type", "text/html"),)
#: A few protocols, so that one more shipped does not ask for one more document here.
PROTOCOLS = {name: shipped_protocols()[name] for name in ("access.toml", "rfc9309.toml", "tdmrep.toml")}
RULES = Rules.load(tokens=("KnockfirstBot",), protocols=PROTOCOLS)


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

    def __init__(self, out, key, origin=ORIGIN, first_lease=0, *, shared=False):
        self.out, self.key = out, key
        self.log = LogWriter.open(out / "log", origin, key)
        self._serial = itertools.count(first_lease)
        self._sizes = {}
        self.counts, self.finals = {}, {}
        self.enter(
            RunEntry,
            origin=origin,
            software="knockfirst 0",
            code="sha256:0",
            operator="Example",
            contact="https://example.org/bot",
            agent="KnockfirstBot/0",
            token="KnockfirstBot",
            purposes=(Category.GENAI_TRAIN,),
            spider="web",
            shared=shared,
            worker=origin.rpartition("/")[2] if shared else "",
            key=self.log.verifier.line(),
        )
        self.rules = out / "log" / "rules" / f"{RULES.digest[7:]}.json"
        self.rules.parent.mkdir()
        self.rules.write_bytes(RULES.bundle.encode())
        self.config = self.enter(
            ConfigEntry,
            rules=RULES.digest,
            policy=RULES.policy.digest,
            policy_name="p 1",
            protocols=RULES.registry.digest,
        )
        self.answers = {}
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

    def document(self, authority, key, head, body=b""):
        url = authority + key
        pointer = self.store("evidence", "response", url, head + body, pd=sha256(body) if body else None)
        answer = Answer(url=url, status=200 if body else 404, headers=HTML if body else (), body=body, fetched_at=NOW)
        seq = self.enter(
            EvidenceEntry,
            key=key,
            url=url,
            authority=authority,
            site=authority.partition("//")[2],
            outcome=str(answer.status),
            st=answer.status,
            fetched=NOW,
            expires=NOW + 86_400_000,
            d=sha256(body) if body else "",
            len=len(body),
            warc=(pointer,),
        )
        self.answers[authority, key] = answer, seq
        return seq

    def robots(self, authority="https://example.org"):
        seq = self.document(authority, "/robots.txt", HEAD, b"User-agent: *\nDisallow: /private\n")
        self.document(authority, "/.well-known/tdmrep.json", ABSENT)
        return seq

    def decide(self, **fields):
        known = {"config": self.config, "lease": next(self._serial)}
        entry = decision(self.log.next_seq, **(known | fields))
        self.counts[entry.verdict] = self.counts.get(entry.verdict, 0) + 1
        if entry.final:
            self.finals[entry.verdict] = self.finals.get(entry.verdict, 0) + 1
        return self.log.append(entry)

    def examined(self, url, body=None):
        """The entry's fields that the rules give, and those that say what was asked for."""
        authority = "/".join(url.split("/")[:3])
        facts, consulted = Facts(url=url, at=NOW), {}
        while isinstance(answer := RULES.examine(facts), Wants):
            if answer.what is Want.DOCUMENT:
                if (authority, answer.key) not in self.answers:
                    self.robots(authority)
                known, consulted[answer.key] = self.answers[authority, answer.key]
                facts = msgspec.structs.replace(facts, documents={**facts.documents, answer.key: known})
            elif answer.what is Want.HEAD:
                facts = msgspec.structs.replace(facts, head=Head(status=200, headers=HTML))
            else:
                facts = msgspec.structs.replace(facts, body=body or b"")
        return {
            "verdict": answer.verdict,
            "reason": answer.reason,
            "gate": answer.gate,
            "strict": answer.strict,
            "effective": answer.effective,
            "open": answer.open,
            "signals": tuple(LoggedSignal.of(one, ev=consulted.get(one.source)) for one in answer.signals),
            "consulted": {**answer.consulted, **consulted},
            "at": NOW,
            "site": authority.partition("//")[2],
            "final": True,
        }

    def raw(self, line):
        """Puts a line into the log, whatever it is, as the holder of the key can."""
        self.log._tree.append(leaf_hash(line))
        self.log._waiting.append(line)

    def kept(self, url, body=b"<p>Hello</p>", *, warc=None, **fields):
        known = self.examined(url, body)
        if warc is None:
            response = self.store("warc", "response", url, HEAD + body, pd=sha256(body))
            warc = (response, self.store("warc", "request", url, b"GET / HTTP/1.1\r\n\r\n"))
        http = Http(st=200, ct="text/html", len=len(body))
        return self.decide(url=url, http=http, warc=warc, **(known | fields))

    def discarded(self, url, body, **fields):
        known = self.examined(url, body)
        head = self.store("evidence", "response", url, HEAD, "WARC-Truncated: unspecified")
        http = Http(st=200, ct="text/html", len=len(body))
        return self.decide(url=url, http=http, warc=(head,), d=sha256(body), **(known | fields))

    def refused(self, url, robots=None, **fields):
        return self.decide(url=url, **(self.examined(url) | fields))

    def finish(self, end="finished"):
        files = list(finished_files(self.out, set()))
        for name, size, digest in files:
            self.enter(FileEntry, f=name, size=size, d=digest)
        self.log.sync()
        sites = None
        with suppress(LogError, OverflowError), closing(site_tree(self.out / "log")) as tree:
            sites = tree.summary()
        self.enter(SealEntry, end=end, counts=self.counts, finals=self.finals, files=len(files), sites=sites)
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
def new_folder(tmp_path, key):
    """Makes further folders."""
    return lambda number: Crawled(tmp_path / str(number), key)


@pytest.fixture
def new_worker(tmp_path, key):
    """Makes the folders of workers of one crawl."""
    return lambda name, first_lease, with_key=key: Crawled(
        tmp_path / name, with_key, f"crawler.example.org/web/r1/{name}", first_lease, shared=True
    )


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
def rules():
    """The rules that the folder's decisions were made by."""
    return RULES


@pytest.fixture(scope="session")
def entries():
    """Makes decision entries by `seq`."""
    return decision
