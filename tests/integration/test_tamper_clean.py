"""The other half of the tamper matrix: logs that nobody altered raise no alarm, on any level.

Each is made by chance from a number: sites, pages of every end, checkpoints in between, one kept elsewhere; then how it
ends, and what its operator does to it afterwards (compress, change the key, erase). 50 of them, with `TAMPER_ROUNDS=20`
1,000; the command stands in `test_tamper.py`.
"""

import datetime as dt
import os
import random
from contextlib import closing

import pytest
from support.handmade import handmade

from provenance import keys
from provenance.anchors import Outside
from provenance.erase import Eraser
from provenance.handover import rotate
from provenance.seal import seal
from provenance.verify import verify
from reservations.model import Verdict

pytestmark = pytest.mark.crawl

ROUNDS = int(os.environ.get("TAMPER_ROUNDS", "1"))
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
RESERVED = b'<html><head><meta name="tdm-reservation" content="1"></head><body>Mine</body></html>'


def a_crawl(crawled, chance):
    """Asks for pages of a few sites. Gives the URLs that were kept, and a checkpoint that somebody kept elsewhere."""
    sites, kept, elsewhere = [f"https://s{number}.example" for number in range(chance.randint(1, 4))], [], b""
    for number in range(chance.randint(1, 25)):
        url = f"{chance.choice(sites)}/{number}"
        match chance.choice(["kept", "kept", "refused", "discarded", "interrupted", "checkpoint"]):
            case "kept":
                crawled.kept(url, b"<p>%s</p>" % chance.randbytes(chance.randint(0, 3_000)).hex().encode())
                kept.append(url)
            case "refused":
                crawled.refused(url.replace("example/", "example/private/"))
            case "discarded":
                crawled.discarded(url, RESERVED)
            case "interrupted":
                crawled.decide(url=url, verdict=Verdict.FAILED, reason="crawl.interrupted", gate="transfer")
                crawled.kept(url)
                kept.append(url)
            case "checkpoint":
                crawled.log.sync()
                crawled.log.checkpoint()
                elsewhere = (crawled.out / "log" / "checkpoint").read_bytes()
    return kept, elsewhere


def what_operators_do(out, key, kept, chance, folder):
    """Some of what an operator may do to a finished folder, in any order."""
    acts = chance.sample(["compress", "change the key", "erase", "erase the text"], chance.randint(0, 3))
    for act in acts:
        match act:
            case "compress":
                seal(out / "log")
            case "change the key":
                new = keys.generate(folder / "new" / "key")
                rotate(out / "log", key, new, "yearly", now=NOW)
                key = new
            case "erase" | "erase the text" if kept:
                with closing(Eraser(out, key, url=chance.choice(kept), now=NOW)) as eraser:
                    eraser.carry_out(eraser.plan_url(text=act == "erase the text"), "complaint 7")
            case _:
                pass
    return acts


@pytest.mark.parametrize("number", range(50 * ROUNDS))
def test_log_that_nobody_altered_raises_no_alarm(tmp_path, number):
    chance = random.Random(number)
    key = keys.generate(tmp_path / "key")
    crawled = handmade().Crawled(tmp_path / "out", key)
    kept, elsewhere = a_crawl(crawled, chance)
    end = chance.choice(["finished", "stopped"])
    crawled.finish(end)
    acts = what_operators_do(crawled.out, key, kept, chance, tmp_path)
    outside = Outside(checkpoints=(("kept elsewhere", elsewhere),) if elsewhere else ())
    report = verify(crawled.out, outside=outside)
    assert [(level.name, level.differences) for level in report.levels if not level.ok] == [], (end, acts)
    assert [level.name for level in report.levels] == ["L1", "L2", "L3", "L4"]
