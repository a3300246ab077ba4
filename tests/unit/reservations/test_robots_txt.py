import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from reservations.readers.robots_groups import LONG_LINE
from reservations.readers.robots_match import MATCH_WORK, Meter, TooComplex, normalise, path_matches, subject_of
from reservations.readers.robots_txt import LENIENCIES, MAX_EXCERPT, MAX_OCTETS, RobotsTxt, product_token

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "robots.json").read_text(encoding="utf-8"))["cases"]
BOT = "ExampleBot"
SITE = "https://site.example"


def octets_of(case: dict[str, Any]) -> bytes:
    if "robots_b64" in case:
        return base64.b64decode(case["robots_b64"])
    parts = case.get("robots_parts", [[case.get("robots"), 1]])
    return b"".join(text.encode() * repeat for text, repeat in parts)


def ask(text: str | bytes, path: str, token: str | tuple[str, ...] = BOT):
    return RobotsTxt.parse(text if isinstance(text, bytes) else text.encode()).ask(token, SITE + path)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["id"])
def test_vector_gives_expected_answer(case):
    answer = RobotsTxt.parse(octets_of(case)).ask(product_token(case["agent"]), case["url"])
    assert answer.allowed == (case["expect"] == "allow"), case["why"]


# --- what an answer names


def test_denial_names_group_line_and_own_text():
    robots = RobotsTxt.parse(b"User-agent: *\nAllow: /\n\nUser-agent: examplebot\n  Disallow: /a # why\n")
    answer = robots.ask(BOT, SITE + "/a/1")
    assert not answer.allowed
    assert not answer.strict_allowed
    assert (answer.group, answer.line, answer.rule, answer.leniencies) == (BOT, 5, "Disallow: /a", ())
    assert answer.digest == robots.digest == "sha256:" + robots.digest[7:]
    assert len(robots.digest) == 71


def test_permission_by_rule_names_line_too():
    answer = ask("User-agent: *\nDisallow: /\nAllow: /a", "/a")
    assert (answer.allowed, answer.group, answer.line, answer.rule) == (True, "*", 3, "Allow: /a")


def test_no_matching_rule_names_the_group_only():
    answer = ask("User-agent: *\nDisallow: /a", "/b")
    assert (answer.allowed, answer.group, answer.line, answer.rule) == (True, "*", None, None)


def test_no_group_for_us_names_none():
    assert ask("User-agent: Other\nDisallow: /", "/b").group == ""


def test_hostile_rule_text_is_cut_and_harmless():
    rule = ask(b"User-agent: *\nDisallow: /\x1b[31m\xe2\x80\xae" + b"x" * 9000 + b"\nDisallow: /*", "/" + "x" * 9).rule
    assert rule == "Disallow: /*"
    rule = ask(b"User-agent: *\nDisallow: /*\x1b[31m\xe2\x80\xae" + b"$" * 300, "/%1B[31m%E2%80%AE" + "%24" * 299).rule
    assert len(rule) == MAX_EXCERPT
    assert rule.startswith("Disallow: /*\ufffd[31m\ufffd$$")


# --- the letter and the lenient reading


@pytest.mark.parametrize(
    ("text", "path", "leniency"),
    [
        ("User-agent *\nDisallow /", "/a", "missing_colon"),
        ("User-agent: *\nDissallow: /", "/a", "key_spelling"),
        ("User-agent: *\nDISALLOW /", "/a", "missing_colon"),
        ("User-agent: *\nDisallaw: /x", "/x", "key_spelling"),
        ("Useragent: *\nDisallow: /x", "/x", "key_spelling"),
        ("User agent: ExampleBot\nDisallow: /x", "/x", "key_spelling"),
        ("User-agent: *\u00a0\nDisallow: /x", "/x", "odd_blank"),
        ("User-agent: *\nDisallow:\u00a0/x\u200b", "/x/1", "odd_blank"),
        ("Sitemap: x\n\ufeffUser-agent: *\nDisallow: /x", "/x/1", "odd_blank"),
        (b"User-agent: *\xa0\nDisallow: /x", "/x", "odd_blank"),
        (b"User-agent: *\n\x0cDisallow: /x", "/x", "odd_blank"),
        ("User-agent: *\nDisallow: private", "/private/1", "slash_supplied"),
        ("User-agent: *\nDisallow: /a/b", "/a//b", "other_spelling"),
        ("User-agent: *\nDisallow: /a/b", "//a/./b/", "other_spelling"),
        ("User-agent: *\nDisallow: /a/b", "/a/x/../b", "other_spelling"),
        ("User-agent: *\nDisallow: /a/b", "/a/x/%2E%2e/b", "other_spelling"),
        ("User-agent: *\nAllow: /" + "a" * LONG_LINE + "\nDisallow: /a", "/" + "a" * LONG_LINE, "long_line"),
    ],
)
def test_leniency_closes_what_the_letter_leaves_open(text, path, leniency):
    answer = ask(text, path)
    assert answer.strict_allowed
    assert not answer.allowed
    assert answer.leniencies == (leniency,)
    assert leniency in LENIENCIES


def test_utf16_file_is_legible_to_the_lenient_reading():
    for encoding in ("utf-16-le", "utf-16-be"):
        mark = "\ufeff".encode(encoding)
        robots = RobotsTxt.parse(mark + "User-agent: *\r\nDisallow: /a\r\n".encode(encoding))
        answer = robots.ask(BOT, SITE + "/a")
        assert (answer.strict_allowed, answer.allowed, answer.leniencies, answer.line) == (True, False, ("utf_16",), 2)
        assert robots.issues == ("utf_16",)


@pytest.mark.parametrize(
    "text",
    [
        "User-agent: *\nDisallow: /\nAllow /a",  # a permission without its colon
        "User-agent: *\nDisallow: /\nAlow: /a",
        "User-agent: *\nDisallow: /\nAllow: a",  # without its slash
        "User-agent: *\nDisallow: /\nUseragent: ExampleBot\nAllow: /",  # a misspelt line does not silence `*`
        "User-agent: *\nDisallow: /\nUseragent: Other\nAllow: /",  # nor is a permission for another one for all
        "User-agent: *\nDissallow: /\nUser agent: ExampleBot\nAllow: /b",
        "User-agent: *\nDissallow: /\nUser agent: ExampleBot\nDisallow: /b",
    ],
)
def test_malformed_positive_opens_nothing(text):
    assert not ask(text, "/a").allowed


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("User-agent: Example\nDisallow: /", "/a", True),
        ("User-agent: Example*\nDisallow: /", "/a", True),
        ("User-agent: ExampleBot/2.1\nDisallow: /", "/a", False),
        ("User-agent: ExampleBot 2 or so\nDisallow: /", "/a", False),
        ("User-agent: *\x00\nDisallow: /", "/a", True),
        ("User-agent: * and all others\nDisallow: /", "/a", False),
        ("User-agent: *.*\nDisallow: /", "/a", True),
        ("User-agent: *\nDisallow: /secret\n# x\u2028Allow: /secret/1", "/secret/1", False),
        ("User-agent: *\nDisallow: /secret\n# x\u0085Allow: /secret/1", "/secret/1", False),
        ("User-agent: *\nDisallow: /secret\n# x\x0bAllow: /secret/1\x1eAllow: /secret/1", "/secret/1", False),
        ("User-agent: *\nDisallow: /\nAllow: /d/index.html", "/d/", False),
        ("User-agent: *\nContent-Signal: ai-train=no\nAllow: /\n\nUser-agent: *\nDisallow: /lp", "/lp/1", False),
        ("\ufeffUser-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow: /r?u=https%3A%2F%2Fa", "/r?u=https://a", False),
        ("User-agent: *\nDisallow: /r?u=https://a", "/r?u=https%3a%2F/a", False),
        ("User-agent: *\nDisallow: /*to=https%3A%2F%2Fa", "/r?to=https%3A%2F%2Fa", False),
        ("User-agent: *\nDisallow: /*to=https://a", "/r?to=https%3A%2F%2Fa", False),
        ("User-agent: *\nDisallow: /r?a=1%26b", "/r?a=1&b", True),
        ("User-agent: *\nDisallow: /\nAllow: /r?a=1&b", "/r?a=1%26b", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),
        ("User-agent: *\nDisallow: /\nAllow: /voil\u00e0", "/voil%C3%A0", True),
        ("User-agent: *\nDisallow: /\nAllow: /a\u00a0b", "/a%C2%A0b", True),
        ('User-agent: *\nDisallow: /a"b', "/a%22b", False),
        ("User-agent: *\nDisallow: /a|b", "/a%7Cb", False),
        ("User-agent: *\nDisallow: /a[b]?c[]=", "/a%5Bb%5D?c%5B]=1", False),
        ("User-agent: *\nDisallow: /a*$", "/abc", False),
        ("User-agent: *\nDisallow: /a*c$", "/ac", False),
        ("User-agent: *\nDisallow: /ac*c$", "/ac", True),
        ("User-agent: *\nDisallow: /a*bc*cd$", "/abcd", True),
        ("User-agent: *\nDisallow: *.gif", "/a/b.gif", False),
        ("User-agent: *\nDisallow: *$", "/", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("User-agent: *\nDisallow: /", "/robots.txt?", False),
    ],
)
def test_reading_of_both_kinds(text, path, allowed):
    answer = ask(text, path)
    assert (answer.allowed, answer.strict_allowed) == (allowed, allowed)


def test_partial_mark_at_the_start_hides_nothing():
    assert not ask(b"\xef\xbbUser-agent: *\nDisallow: /", "/a").allowed


def test_wildcard_after_a_name_is_noted():
    assert RobotsTxt.parse(b"User-agent: Example*\nDisallow: /").issues == ("wildcard_token",)


def test_page_of_html_is_noted_and_its_lines_read():
    robots = RobotsTxt.parse(b"\n <!doctype html>\nUser-agent: *\nDisallow: /a\n")
    assert robots.issues == ("html_robots",)
    assert not robots.ask(BOT, SITE + "/a").allowed


def test_octets_of_a_path_compare_as_octets():
    assert not ask(b"User-agent: *\nDisallow: /caf\xe9", "/caf%E9").allowed
    assert ask(b"User-agent: *\nDisallow: /caf\xe9", "/caf%C3%A9").allowed


# --- several tokens


def test_second_token_binds_where_a_group_names_it():
    text = "User-agent: ExampleBot\nAllow: /\n\nUser-agent: KnockfirstBot\nDisallow: /b"
    assert ask(text, "/a", (BOT, "KnockfirstBot")).allowed
    answer = ask(text, "/b", (BOT, "KnockfirstBot"))
    assert (answer.allowed, answer.group, answer.line) == (False, "KnockfirstBot", 5)


def test_second_token_without_a_group_does_not_bring_in_the_star():
    text = "User-agent: ExampleBot\nAllow: /\n\nUser-agent: *\nDisallow: /"
    assert ask(text, "/a", (BOT, "KnockfirstBot")).allowed


def test_second_token_does_not_open_what_the_star_closes():
    text = "User-agent: KnockfirstBot\nAllow: /\n\nUser-agent: *\nDisallow: /"
    assert not ask(text, "/a", (BOT, "KnockfirstBot")).allowed


def test_refused_names_only_crawlers_with_a_group():
    robots = RobotsTxt.parse(
        b"Useragent: C\nDisallow: /x\n\nUser-agent: *\nDisallow: /\n\nUser-agent: A\nUser-agent: B\nAllow: /"
    )
    refused = robots.refused(("A", "B", "C", "D"), SITE + "/x")
    assert list(refused) == ["C"]
    assert (refused["C"].group, refused["C"].leniencies) == ("C", ("key_spelling",))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("ExampleBot", "ExampleBot"),
        ("ExampleBot/2.1 (+https://bot.example/)", "ExampleBot"),
        ("Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/)", "ExampleBot"),
        ("Mozilla/5.0 (compatible; ExampleBot; +https://bot.example/)", "ExampleBot"),
        ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko; compatible; Example-Bot/1)", "Example-Bot"),
        ("bot2/1.0", "bot"),
        ("Mozilla/5.0", "Mozilla"),
        ("", ""),
    ],
)
def test_product_token_is_found_in_a_header(header, token):
    assert product_token(header) == token


# --- other directives


EXTENSIONS = b"""License: https://site.example/all.xml
Content-Usage: train-ai=n
# For everyone
User-agent: *
Content-Signal: ai-train=no # ours
Crawl-delay: 5
User-agent: ExampleBot
Disallow: /a
Crawl-delay: 1.5
Sitemap: https://site.example/map.xml
content-USAGE : /b train-ai=y

User-agent: Other
Content-Usage: search=n
Crawl-delay: 50
"""


def test_lines_are_told_apart_by_whom_they_address():
    robots = RobotsTxt.parse(EXTENSIONS)
    usage = robots.lines("content-usage", BOT)
    assert [(line.number, line.value) for line in usage.ours] == [(11, "/b train-ai=y")]
    assert [line.number for line in usage.star] == [11]
    assert [(line.number, line.value) for line in usage.outside] == [(2, "train-ai=n")]
    assert [line.value for line in robots.lines("Content-Signal", "Nobody").star] == ["ai-train=no"]
    assert robots.lines("content-usage", "Other").ours[0].raw == b"search=n"
    assert robots.lines("content-usage", "Nobody").ours == ()
    assert [line.value for line in robots.lines("license", BOT).outside] == ["https://site.example/all.xml"]
    assert robots.has("LICENSE")
    assert not robots.has("disallowaitraining")


def test_delay_sitemaps_and_comments_are_kept():
    robots = RobotsTxt.parse(EXTENSIONS)
    assert robots.crawl_delay(BOT) == 5.0
    assert robots.crawl_delay("Other") == 50.0
    assert robots.crawl_delay(("Nobody", "Other")) == 50.0
    assert robots.sitemaps == ("https://site.example/map.xml",)
    assert [(line.number, line.value) for line in robots.comments] == [(3, "For everyone"), (5, "ours")]


@pytest.mark.parametrize("value", ["", "x", "-1", "1e9", "nan", "inf", "1.2.3", "9999999999", "5 seconds", "\u0665"])
def test_delay_that_is_no_number_is_none(value):
    assert RobotsTxt.parse(f"User-agent: *\nCrawl-delay: {value}".encode()).crawl_delay(BOT) is None


def test_line_in_a_misspelt_group_says_so():
    robots = RobotsTxt.parse(b"User-agent: A\nDisallow: /\n\nUser agent: *\nContent-Signal: ai-train=no")
    (line,) = robots.lines("content-signal", BOT).star
    assert (line.number, line.issues) == (5, ("key_spelling",))
    assert robots.lines("content-signal", "A").ours[0].issues == ()


def test_groups_are_as_in_the_file():
    agents = [[agent.value for agent in group.agents] for group in RobotsTxt.parse(EXTENSIONS).groups()]
    assert agents == [[b"*", b"ExampleBot"], [b"Other"]]
    assert [line.key for line in RobotsTxt.parse(EXTENSIONS).groups()[1].lines] == ["content-usage", "crawl-delay"]


def test_named_is_by_the_letter():
    robots = RobotsTxt.parse(b"User-agent: ExampleBot/2\nDisallow:\n\nUseragent: Other\nDisallow: /")
    assert robots.named("examplebot")
    assert robots.named(("Nobody", "ExampleBot"))
    assert not robots.named("Other")
    assert robots.mentions("Other")


@pytest.mark.parametrize("name", ["Kangaroo Bot", "panscient.com", "img2dataset", "MistralAI-User/1.0", "AI2Bot"])
def test_name_outside_the_grammar_is_found_as_written(name):
    robots = RobotsTxt.parse(f"User-agent: {name.upper()}\nDisallow: /".encode())
    assert robots.refused([name], SITE + "/") != {}
    assert robots.refused([name + "x"], SITE + "/") == {}


# --- limits


def test_line_cut_in_two_at_the_limit_is_dropped():
    start = b"User-agent: *\n" + b"#" * (511_000 - 15) + b"\nDisallow: /first\n"
    body = start + b"# " + b"x" * (MAX_OCTETS - len(start) - 5) + b"\nDisallow: /\n"
    assert body[MAX_OCTETS - 4 : MAX_OCTETS] == b"x\nDi"
    robots = RobotsTxt.parse(body)
    assert robots.truncated
    assert robots.issues == ("truncated",)
    assert not robots.ask(BOT, SITE + "/first").allowed
    assert robots.ask(BOT, SITE + "/a").allowed
    assert RobotsTxt.parse(body[:MAX_OCTETS], truncated=True).digest == robots.digest


def test_file_of_just_the_limit_is_whole():
    body = b"User-agent: *\n#" + b"x" * (MAX_OCTETS - 27) + b"\nDisallow: /"
    assert len(body) == MAX_OCTETS
    robots = RobotsTxt.parse(body)
    assert not robots.truncated
    assert not robots.ask(BOT, SITE + "/a").allowed


def test_crawlers_times_groups_over_budget_are_denied():
    names = [chr(97 + n // 26) + chr(97 + n % 26) for n in range(300)]
    shared = "".join(f"User-agent: {name}\n" for name in names) + "".join(f"Disallow: /{n}\n" for n in range(1000))
    own = "".join(f"User-agent: {name}\nDisallow: /own\n" for name in names)
    robots = RobotsTxt.parse((shared + own).encode())
    assert robots.too_complex
    answer = robots.ask(BOT, SITE + "/")
    assert (answer.allowed, answer.strict_allowed, answer.too_complex, answer.line) == (False, False, True, None)
    assert not RobotsTxt.parse(shared.encode()).too_complex


def calls(run: Callable[[], object]) -> int:
    """How many functions, built-in ones too, are called while `run` runs: work, whatever the machine."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def rules(*lines: str) -> bytes:
    return ("User-agent: *\n" + "\n".join(lines)).encode()[:MAX_OCTETS]


NAMES = ["".join(chr(97 + number // 26**at % 26) for at in range(4)) for number in range(34_000)]
HOSTILE = {
    "stars against a": (rules("Disallow: /" + "*a" * 4000 + "b"), "/" + "a" * 8000),
    "many rules of stars": (rules(*(f"Disallow: /*a*a*a*a{n}$" for n in range(20_000))), "/" + "a" * 8000),
    "long needles": (rules(*(f"Disallow: *{'a' * 990}b{n}" for n in range(500))), "/" + "a" * 8000),
    "needles of two": (rules(*(f"Disallow: *{'ab' * 490}c{n}" for n in range(500))), "/" + "ab" * 4000),
    "needles that fail late": (
        rules(*(f"Disallow: *{'a' * 49}b{'a' * 45}{n}*" for n in range(4500))),
        "/" + "a" * 8000,
    ),
    "escapes": (rules("Disallow: /" + "%41" * 170_000), "/" + "A" * 8000),
    "dollars": (rules(*(f"Disallow: /{n}{'$' * 20}" for n in range(15_000))), "/1" + "$" * 8000),
    "lengths": (rules(*(f"Disallow: /{'a' * n}" for n in range(1000))), "/" + "a" * 8000),
    "agents": ("\n".join(f"User-agent: {name}" for name in NAMES).encode()[:MAX_OCTETS], "/a"),
    "agents times rules": (
        b"\n".join(b"User-agent: " + name.encode() for name in NAMES[:15_000])
        + b"".join(b"\nDisallow: /%d" % n for n in range(15_000)),
        "/a",
    ),
    "groups": ((b"User-agent: *\nDisallow: /a\n" * 20_000)[:MAX_OCTETS], "/b"),
    "misspelt groups": ((b"Useragent: a\nDisalow: a\n" * 22_000)[:MAX_OCTETS], "/b//a?%2F"),
    "line ends": (b"\n" * MAX_OCTETS, "/a"),
    "carriage returns": (b"\r\n" * (MAX_OCTETS // 2), "/a"),
    "one line": (b"a " * (MAX_OCTETS // 2), "/a"),
    "colons": (b":\n" * (MAX_OCTETS // 2), "/a"),
    "comments": (b"#\n" * (MAX_OCTETS // 2), "/a"),
    "high octets": (b"User-agent: *\nDisallow: /" + b"\xe9" * 500_000, "/" + "\u00e9" * 2700),
    "odd blanks": (b"User-agent: *\xa0\nDisallow:\xa0/\xa0\n" * 14_000, "/"),
    "utf-16": ("\ufeffUser-agent: *\n".encode("utf-16-le") + b"D\0:\0/\0\n\0" * 60_000, "/"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_read_and_asked_in_work_that_grows_with_its_size(name):
    body, path = HOSTILE[name]
    asked: list[RobotsTxt] = []
    assert calls(lambda: asked.append(RobotsTxt.parse(body))) < 5 * MAX_OCTETS
    assert calls(lambda: asked[0].ask(BOT, SITE + "/?")) < 3 * MAX_OCTETS
    assert calls(lambda: asked[0].ask(BOT, SITE + path)) < 100_000


def test_match_over_the_work_limit_is_denied_as_too_complex():
    body = rules(*(f"Disallow: *{'a' * 49}b{'a' * 45}{n}*" for n in range(4500)))
    answer = ask(body, "/" + "a" * 8000)
    assert (answer.allowed, answer.strict_allowed, answer.too_complex) == (False, False, True)
    assert not ask(body, "/short").too_complex


def test_meter_counts_down_and_stops():
    meter = Meter(10)
    meter.spend(10)
    assert meter.left == 0
    with pytest.raises(TooComplex):
        meter.spend(1)
    assert Meter().left == MATCH_WORK


# --- paths alone


@pytest.mark.parametrize(
    ("pattern", "path", "octets"),
    [
        (b"/a", "/ab", 2),
        (b"/a$", "/ab", None),
        (b"/a$", "/a", 3),
        (b"/%62%61z", "/baz", 4),
        (b"/*.pdf$", "/x/y.pdf", 7),
        (b"", "/", None),
        (b"/" + b"x" * 400, "/" + "x" * 401, 401),
    ],
)
def test_path_matches_counts_octets_of_the_pattern(pattern, path, octets):
    assert path_matches(pattern, subject_of(SITE + path)) == octets


@pytest.mark.parametrize(
    ("url", "written", "settled"),
    [
        ("https://site.example", b"/", None),
        ("https://site.example#a", b"/", None),
        ("https://site.example?q", b"/?q", None),
        ("https://site.example/a*b$?*", b"/a%2Ab%24?%2A", None),
        ("https://site.example//a/./b/../", b"//a/./b/../", b"/a/"),
        ("https://site.example/..", b"/..", b"/"),
        ("https://site.example/a?b=//c", b"/a?b=//c", None),
        ("https://site.example/\ud800", b"/%ED%A0%80", None),
    ],
)
def test_subject_is_path_and_query(url, written, settled):
    subject = subject_of(url)
    assert subject.written == written
    assert (subject.settled and subject.settled.written) == settled


@given(st.binary(max_size=60))
def test_normal_form_keeps_its_meaning(octets):
    once = normalise(octets)
    assert once.isascii()
    assert not set(once) & set(b' "<>\\^`{|}\x7f')
    assert normalise(octets.replace(b"%7e", b"~")) == normalise(octets.replace(b"%7E", b"~"))


# --- properties

TOKENS = ("*", BOT, "examplebot/1.0", "Other", "Other-Bot", "")
KEYS = (
    "\u00a0User-agent",
    "User-agent",
    "user-AGENT ",
    "Disallow",
    "Allow",
    "Sitemap",
    "Crawl-delay",
    "Dissallow",
    "Useragent",
    "x",
    "",
)
PIECES = st.sampled_from(
    ["/", "/a", "a", "b", "*", "$", "%2F", "%41", "?", "=", "é", "\u00a0", ".", "..", "//", "/./", ":", "%"]
)
PATHS = st.lists(PIECES, max_size=6).map("".join)
ODD_LINES = st.one_of(
    st.tuples(
        st.sampled_from(KEYS), st.sampled_from([":", ": ", " ", "\t:", ""]), st.one_of(PATHS, st.sampled_from(TOKENS))
    ).map("".join),
    st.text(max_size=20),
)
ODD_FILES = st.one_of(
    st.binary(max_size=300),
    st.tuples(st.lists(ODD_LINES, max_size=15), st.sampled_from(["\n", "\r", "\r\n", "\n\n"])).map(
        lambda parts: parts[1].join(parts[0]).encode()
    ),
)


@given(ODD_FILES, st.one_of(PATHS.map(lambda path: SITE + "/" + path), st.text(max_size=40)))
def test_any_file_is_answered(body, url):
    robots = RobotsTxt.parse(body)
    answer = robots.ask((BOT, "Other"), url)
    assert answer.strict_allowed >= answer.allowed
    assert bool(answer.leniencies) == (answer.strict_allowed != answer.allowed)
    assert answer.allowed or answer.line is not None
    assert answer == RobotsTxt.parse(body).ask((BOT, "Other"), url)
    assert set(answer.leniencies) <= set(LENIENCIES)
    robots.refused(("Other", "Other-Bot"), url)
    robots.crawl_delay((BOT, "Other"))
    robots.lines("x", BOT)
    robots.groups()


@given(ODD_FILES, PATHS, PATHS)
def test_another_disallow_for_us_never_opens_a_path(body, path, more):
    named = body + b"\nUser-agent: ExampleBot\nDisallow:\n"
    url = SITE + "/" + path
    before = RobotsTxt.parse(named).ask(BOT, url)
    after = RobotsTxt.parse(named + b"Disallow: /" + more.encode() + b"\n").ask(BOT, url)
    assert after.allowed <= before.allowed
    assert after.strict_allowed <= before.strict_allowed


@given(ODD_FILES, PATHS, PATHS)
def test_a_misspelt_group_for_us_never_opens_a_path(body, path, more):
    url = SITE + "/" + path
    before = RobotsTxt.parse(body).ask(BOT, url)
    after = RobotsTxt.parse(body + b"\nUseragent: ExampleBot\nDisallow: /" + more.encode() + b"\n").ask(BOT, url)
    assert after.allowed <= before.allowed


@given(ODD_FILES, PATHS)
def test_kind_of_line_end_makes_no_difference(body, path):
    url = SITE + "/" + path
    lines = body.splitlines()
    answers = {RobotsTxt.parse(end.join([*lines, b""])).ask(BOT, url).rule for end in (b"\n", b"\r", b"\r\n")}
    assert len(answers) == 1


SIMPLE_RULES = st.lists(
    st.tuples(
        st.sampled_from(["Allow", "Disallow"]),
        st.lists(st.sampled_from(["a", "b", "/", "*", "%41", "-", "é", "?", "x=1"]), max_size=6).map(
            lambda parts: "/" + "".join(parts)
        ),
        st.sampled_from(["", "$"]),
    ),
    min_size=1,
    max_size=8,
)


@given(SIMPLE_RULES, SIMPLE_RULES, PATHS)
def test_protego_agrees_where_both_follow_the_rfc(for_all, for_us, path):
    """Without what is known to part them: unknown lines, prefixes of tokens, dollars, encoded values, empty queries."""
    groups = [("*", for_all), ("Other", [("Disallow", "/", "")]), (BOT, for_us)]
    text = "\n\n".join(
        f"User-agent: {name}\n" + "\n".join(f"{key}: {pattern}{end}" for key, pattern, end in group)
        for name, group in groups
    )
    path = "/" + path.replace(":", "").replace("$", "").replace("%", "").replace("//", "/").replace("*", "").rstrip("?")
    if "/." in path or "//" in path:
        path = "/a"
    protego = Protego.parse(text)
    for token in (BOT, "Nobody"):
        assert ask(text, path, token).allowed == protego.can_fetch(SITE + path, token), (text, path, token)


@given(SIMPLE_RULES, PATHS, st.randoms(use_true_random=False))
def test_order_of_rules_makes_no_difference(group, path, random):
    lines = [f"{key}: {pattern}{end}" for key, pattern, end in group]
    first = ask(rules(*lines), "/" + path).allowed
    random.shuffle(lines)
    assert ask(rules(*lines), "/" + path).allowed == first
