"""Which crawl an output folder belongs to, and which worker of it: `crawl.json`, written before anything else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from crawler.options import Fault
from provenance.disk import UNFINISHED, Disk, replace
from provenance.entry import timestamp

CRAWL_FILE: Final = "crawl.json"

_OTHER: Final = "name another KNOCKFIRST_OUT, or repeat the command that began it"


class CrawlFile(msgspec.Struct, frozen=True, kw_only=True):
    """`crawl.json`. The same command continues the crawl, another one is refused.

    Attributes:
        run: id of the crawl, the same for every worker on one frontier.
        worker: id of this folder among them; the log's origin ends with it.
        spider, arguments, token: what is crawled, and as whom.
        created: when the folder was begun, RFC 3339.
    """

    run: str
    worker: str
    spider: str
    arguments: dict[str, str]
    token: str
    created: str

    def task(self) -> str:
        """What all workers of one crawl have in common, as text to be compared."""
        return msgspec.json.encode((self.spider, sorted(self.arguments.items()), self.token)).decode()


def look_at(out: Path, *, spider: str, arguments: dict[str, str], token: str, now_ms: int) -> CrawlFile | Fault:
    """The crawl that `out` belongs to, or a new one; a fault when it is another's. Writes nothing."""
    path = out / CRAWL_FILE
    try:
        if path.exists():
            file = msgspec.json.decode(path.read_bytes(), type=CrawlFile)
            begun = (file.spider, file.arguments, file.token)
            if begun != (spider, arguments, token):
                what = f"{out} holds a crawl by spider {begun[0]!r} as {begun[2]} with {begun[1]}"
                return Fault("KNOCKFIRST_OUT", what, _OTHER)
            return file
        if out.exists() and any(one.name != CRAWL_FILE + UNFINISHED for one in out.iterdir()):
            return Fault("KNOCKFIRST_OUT", f"{out} is not empty and holds no {CRAWL_FILE}", _OTHER)
    except (OSError, msgspec.DecodeError) as error:
        return unusable(out, error)
    return CrawlFile(
        run=hashlib.sha256(os.urandom(32)).hexdigest()[:12],
        worker=os.urandom(4).hex(),
        spider=spider,
        arguments=arguments,
        token=token,
        created=timestamp(now_ms),
    )


def write(out: Path, file: CrawlFile) -> None:
    """Writes `crawl.json`, durably."""
    replace(Disk(), out / CRAWL_FILE, msgspec.json.format(msgspec.json.encode(file), indent=2))


def unusable(out: Path, error: Exception) -> Fault:
    """The fault of a folder that cannot be read or written."""
    return Fault("KNOCKFIRST_OUT", f"{out} cannot be used: {error}", "name a folder that can be written")
