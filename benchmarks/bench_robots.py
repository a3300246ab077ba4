"""How fast robots.txt is read and asked, beside Protego: on real files, and on files made to be slow.

    python benchmarks/bench_robots.py CORPUS [--json FILE] [--limit N]

CORPUS is a JSON Lines file, plain or gzip: one object a line with `host`, and the file as `text` or, in base64, as
`b64`. "Parse" is everything until the first answer is there, "match" one answer after it: parsers differ in what they
put off.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import multiprocessing
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from protego import Protego

from reservations.readers.robots_txt import MAX_OCTETS, RobotsTxt

AGENT = "ExampleBot"
PATHS = (
    "/",
    "/index.html",
    "/a/b/c.html?x=1&y=2",
    "/search?q=robots",
    "/images/photo-1.jpg",
    "/wp-admin/",
    "/2026/11/a-b",
)
TIME_LIMIT_S = 20.0


def ours(body: bytes) -> Callable[[str], bool]:
    robots = RobotsTxt.parse(body)
    return lambda url: robots.ask(AGENT, url).allowed


def protego(body: bytes) -> Callable[[str], bool]:
    robots = Protego.parse(body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "ignore"))
    return lambda url: bool(robots.can_fetch(url, AGENT))


PARSERS = {"ours": ours, "protego": protego}


def corpus(path: Path) -> Iterator[tuple[str, bytes]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            yield entry["host"], base64.b64decode(entry["b64"]) if "b64" in entry else entry["text"].encode()


def rules(lines: Iterable[str]) -> bytes:
    return ("User-agent: *\n" + "\n".join(lines) + "\n").encode()[:MAX_OCTETS]


def adversarial() -> dict[str, tuple[bytes, str]]:
    """Files of about 500 kB and a URL each: what has made parsers slow, or would make this one so."""
    many = "ab" * 4000
    names = ["".join(chr(97 + number // 26**at % 26) for at in range(4)) for number in range(34_000)]
    product = "\n".join(
        [*(f"User-agent: {name}" for name in names[:15_000]), *(f"Disallow: /{n}" for n in range(15_000))]
    )
    ordinary = [f"{'Disallow' if n % 5 else 'Allow'}: /section{n % 97}/page-{n}/" for n in range(18_000)]
    hundreds = "\n".join(f"User-agent: {name}\n" + "Disallow: /a/b\nAllow: /a/b/c\n" * 25 for name in names[:600])
    return {
        "ordinary, 18,000 rules": (rules(ordinary), "/section7/page-4711/x"),
        "600 agents": (hundreds.encode()[:MAX_OCTETS], "/a/b/c"),
        "4,000 stars against 8,000 a": (rules(["Disallow: /" + "*a" * 4000 + "b"]), "/" + "a" * 8000),
        "20,000 rules /*a*a*a*aN$": (rules(f"Disallow: /*a*a*a*a{n}$" for n in range(20_000)), "/" + "a" * 8000),
        "500 rules *a{990}bN": (rules(f"Disallow: *{'a' * 990}b{n}" for n in range(500)), "/" + "a" * 8000),
        "500 rules *(ab){490}cN": (rules(f"Disallow: *{'ab' * 490}c{n}" for n in range(500)), "/" + many),
        "4,500 rules *a{49}ba{49}": (
            rules(f"Disallow: *{'a' * 49}b{'a' * 45}{n}*" for n in range(4500)),
            "/" + "a" * 8000,
        ),
        "1,500 rules *a{150}ba{150}": (
            rules(f"Disallow: *{'a' * 150}b{'a' * 145}{n}*" for n in range(1500)),
            "/" + "a" * 2400,
        ),
        "%41 x 170,000 in one rule": (rules(["Disallow: /" + "%41" * 170_000]), "/" + "A" * 8000),
        "15,000 rules of 20 dollars": (rules(f"Disallow: /{n}{'$' * 20}" for n in range(15_000)), "/1" + "$" * 8000),
        "1,000 lengths": (rules(f"Disallow: /{'a' * n}" for n in range(1000)), "/" + "a" * 8000),
        "34,000 agent lines": ("\n".join(f"User-agent: {name}" for name in names).encode()[:MAX_OCTETS], "/a"),
        "19,000 groups": (("User-agent: *\nDisallow: /a\n" * 19_000).encode()[:MAX_OCTETS], "/b"),
        "64,000 empty rules": (rules(["Allow:"] * 70_000), "/a"),
        "15,000 agents x 15,000 rules": (product.encode()[:MAX_OCTETS], "/a"),
        "one line": (b"a " * (MAX_OCTETS // 2), "/a"),
        "only line ends": (b"\n" * MAX_OCTETS, "/a"),
        "colons": (b"a:b\n" * (MAX_OCTETS // 4), "/a"),
        "octets above 127": (rules(["Disallow: /" + "\u00e9" * 250_000]), "/" + "\u00e9" * 2700),
    }


def seconds(call: Callable[[], Any], repeat: int = 3) -> float:
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def on_corpus(parse: Callable[[bytes], Callable[[str], bool]], files: list[tuple[str, bytes]]) -> dict[str, float]:
    urls = [f"https://{host}{path}" for host, _ in files for path in PATHS]
    each = []
    asked: list[Callable[[str], bool]] = []
    for host, body in files:
        start = time.perf_counter()
        ask = parse(body)
        ask(f"https://{host}/")
        each.append(time.perf_counter() - start)
        asked.append(ask)
    start = time.perf_counter()
    for at, url in enumerate(urls):
        asked[at // len(PATHS)](url)
    match_s = time.perf_counter() - start
    each.sort()
    return {
        "parses_per_s": len(each) / sum(each),
        "parse_p50_us": each[len(each) // 2] * 1e6,
        "parse_p99_us": each[len(each) * 99 // 100] * 1e6,
        "parse_max_us": each[-1] * 1e6,
        "matches_per_s": len(urls) / match_s,
    }


def one_file(name: str, body: bytes, path: str, queue: Any) -> None:
    parse = PARSERS[name]
    url = f"https://site.example{path}"
    start = time.perf_counter()
    ask = parse(body)
    ask("https://site.example/")
    first_s = time.perf_counter() - start
    queue.put({"parse_ms": first_s * 1e3, "match_ms": seconds(lambda: ask(url)) * 1e3, "allowed": ask(url)})


def peak_mb(body: bytes) -> float:
    tracemalloc.start()
    held = RobotsTxt.parse(body)
    held.ask(AGENT, "https://site.example/")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def bounded(name: str, body: bytes, path: str) -> dict[str, Any] | None:
    """One adversarial file in a process of its own, that is ended when it takes too long."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=one_file, args=(name, body, path, queue))
    process.start()
    process.join(TIME_LIMIT_S)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    result: dict[str, Any] = queue.get()
    return result


def ratio(mine: float, theirs: float) -> float:
    return mine / theirs if theirs else float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="JSON Lines of real files (.jsonl or .jsonl.gz)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--limit", type=int, default=None, help="read only so many files of the corpus")
    options = parser.parse_args()

    files = list(corpus(options.corpus))[: options.limit]
    real = {name: on_corpus(parse, files) for name, parse in PARSERS.items()}
    print(f"{len(files)} real files, {sum(len(body) for _, body in files):,} octets, {len(PATHS)} URLs each")
    print(f"{'':16}{'ours':>14}{'protego':>14}{'ours/protego':>14}")
    for key, value in real["ours"].items():
        other = real["protego"][key]
        print(f"{key:16}{value:14,.0f}{other:14,.0f}{ratio(value, other):14.2f}")

    print(f"\n{'about 500 kB, ms':32}{'ours':>20}{'protego':>20}{'ratio':>16}{'peak MB':>9}  ours")
    hard: dict[str, Any] = {}
    for title, (body, path) in adversarial().items():
        mine, theirs = bounded("ours", body, path), bounded("protego", body, path)
        hard[title] = {"ours": mine, "protego": theirs, "peak_mb": peak_mb(body), "octets": len(body)}
        print(
            f"{title:32}{cell(mine)}{cell(theirs)}{ratios(mine, theirs)}{hard[title]['peak_mb']:9.0f}  {verdict(mine)}"
        )
    if options.json:
        options.json.write_text(json.dumps({"real": real, "adversarial": hard}, indent=1) + "\n", encoding="utf-8")
    return 0


def cell(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return f"{'> 20 s':>20}"
    return f"{figures['parse_ms']:11.1f}{figures['match_ms']:9.2f}"


def ratios(mine: dict[str, Any] | None, theirs: dict[str, Any] | None) -> str:
    if mine is None or theirs is None:
        return f"{'-':>16}"
    return f"{ratio(mine['parse_ms'], theirs['parse_ms']):8.2f}{ratio(mine['match_ms'], theirs['match_ms']):8.2f}"


def verdict(figures: dict[str, Any] | None) -> str:
    return "-" if figures is None else "allow" if figures["allowed"] else "deny"


if __name__ == "__main__":
    sys.exit(main())
