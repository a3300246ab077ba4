import json
from pathlib import Path

import pytest

from reservations.datafile import DefinitionError
from reservations.model import Category, Value
from reservations.readers.robots_txt import RobotsTxt
from reservations.readers.tokens import TokenList, concludes, read_tokens

FILE = Path(__file__).parents[3] / "reservations" / "protocols" / "crawler-tokens.toml"
LIST = TokenList.from_toml(FILE.read_text(encoding="utf-8"), file=FILE.name)
CASES = json.loads((Path(__file__).parents[2] / "vectors" / "reservations.json").read_text(encoding="utf-8"))["cases"]
VECTORS = [case for case in CASES if case["protocol"] == "P01" and "tokens" in case.get("settings", {})]
BY_NAME = {entry.token: entry for entry in LIST.tokens}
BOT = "ExampleBot"
URL = "https://news.example/news"
SETTINGS = ("own", "class", "any")
DENY = {Category.TDM: Value.DENY}


def closed(*tokens: str, path: str = "/") -> str:
    return "".join(f"User-agent: {token}\nDisallow: {path}\n\n" for token in tokens)


def read(text: str, setting: str = "class", token: str | tuple[str, ...] = BOT, url: str = URL):
    return read_tokens(RobotsTxt.parse(text.encode()), url, token, setting, LIST)


def denied(text: str, setting: str, token: str | tuple[str, ...] = BOT) -> bool:
    signals = read(text, setting, token)
    assert all(signal.effective in ({}, DENY) and signal.strict == {} for signal in signals)
    return any(signal.effective for signal in signals)


#: The table of the class rule: a file, and under which settings it is a reservation.
TABLE = {
    "one training crawler": (closed("GPTBot") + "User-agent: *\nAllow: /", "any"),
    "an opt-out token": (closed("Google-Extended"), "class any"),
    "two operators": (closed("GPTBot", "ClaudeBot"), "class any"),
    "two operators, but we are welcome": (closed("GPTBot", "ClaudeBot") + "User-agent: ExampleBot\nAllow: /", ""),
    "two operators, and we are named": (closed("GPTBot", "CCBot") + "User-agent: ExampleBot\nDisallow: /x", ""),
    "Scrapy": (closed("Scrapy"), "class any"),
    "search and users": (closed("ChatGPT-User", "OAI-SearchBot"), ""),
    "one operator twice": (closed("anthropic-ai", "ClaudeBot"), "any"),
    "elsewhere": (closed("GPTBot", "CCBot", path="/private/"), ""),
    "two refused, two welcome": (
        closed("GPTBot", "CCBot") + "User-agent: ClaudeBot\nUser-agent: Diffbot\nAllow: /",
        "class any",
    ),
    "a reseller": (closed("FirecrawlAgent"), "any"),
    "an unknown crawler": (closed("SomebodysBot", "AnotherBot"), ""),
    "any spelling": (closed("GPTBOT/1.2", "ccbot"), "class any"),
    "names outside the grammar": (closed("Kangaroo Bot", "panscient.com"), "class any"),
    "a misspelt group": ("Useragent: Google-Extended\nDisalow: /", "class any"),
    "a misspelt group for us": (closed("Google-Extended") + "Useragent: ExampleBot\nAllow: /", "class any"),
    "Content-Signal": (
        "User-agent: GPTBot\nUser-agent: CCBot\nContent-Signal: search=yes, ai-train=no\nAllow: /",
        "class any",
    ),
    "Content-Signal by use": ("User-agent: Google-Extended\nContent-Signal: use=reference\nAllow: /", "class any"),
    "Content-Signal that permits": ("User-agent: Google-Extended\nContent-Signal: ai-train=yes\nAllow: /", ""),
    "Content-Usage": ("User-agent: Google-Extended\nContent-Usage: train-ai=n;exceptions=cc-cr\nAllow: /", "class any"),
    "Content-Usage, malformed": ("User-agent: Google-Extended\nContent-Usage: Train-AI = 'N',\nAllow: /", "class any"),
    "Content-Usage elsewhere": ("User-agent: Google-Extended\nContent-Usage: /x train-ai=n\nAllow: /", ""),
    "Content-Usage, longer path permits": (
        "User-agent: Google-Extended\nContent-Usage: train-ai=n\nContent-Usage: /news train-ai=y\nAllow: /",
        "",
    ),
    "Content-Usage, longer path is silent": (
        "User-agent: Google-Extended\nContent-Usage: train-ai=n\nContent-Usage: /news search=y\nAllow: /",
        "class any",
    ),
    "Content-Usage, equal paths": (
        "User-agent: Google-Extended\nContent-Usage: /n train-ai=n\nContent-Usage: /n train-ai=y\nAllow: /",
        "class any",
    ),
    "Content-Usage for all": ("User-agent: *\nContent-Usage: train-ai=n\nAllow: /", ""),
    "DisallowAITraining": ("User-agent: Google-Extended\nDisallowAITraining: /\nAllow: /", "class any"),
    "DisallowAITraining, no slash": ("User-agent: Google-Extended\nDisallowAITraining: news\nAllow: /", "class any"),
    "DisallowAITraining, empty": ("User-agent: Google-Extended\nDisallowAITraining:\nAllow: /", ""),
    "DisallowAITraining, longer path permits": (
        "User-agent: Google-Extended\nDisallowAITraining: /\nAllowAITraining: /news\nAllow: /",
        "",
    ),
    "DisallowAITraining, tie": (
        "User-agent: Google-Extended\nAllowAITraining: /news\nDisallowAITraining: /news\nAllow: /",
        "class any",
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", TABLE)
def test_rules_for_others_reserve_under_the_settings_named(name, setting):
    text, reserves = TABLE[name]
    assert denied(text, setting) == (setting in reserves.split())


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["id"])
def test_vector_gives_expected_value(case):
    text = case["origin"]["/robots.txt"]["body"]
    robots = RobotsTxt.parse(text.encode())
    signals = read_tokens(robots, case["url"], BOT, case["settings"]["tokens"], LIST)
    values = {"deny" for signal in signals if signal.effective} or {"unset"}
    assert values == {case["expect"]["effective"]["tdm"]}
    assert robots.ask(BOT, case["url"]).allowed == (case["expect"].get("crawl", "allow") == "allow")


def test_signal_names_lines_tokens_and_text():
    (signal,) = read("User-agent: CCBot\nDisallow: /\n\nUser-agent: GPTBot\nDisallow: /news # ours\n")
    assert (signal.protocol, signal.reason, signal.carrier, signal.source) == (
        "tokens",
        "tokens.class",
        "robots_txt",
        "/robots.txt",
    )
    assert signal.locator == "line 2 (CCBot), line 5 (GPTBot)"
    assert signal.excerpt == "Disallow: /"
    assert (signal.effective, signal.strict, signal.addressed_to, signal.issues) == (DENY, {}, "others", ())


def test_directive_of_a_group_for_others_is_the_locator():
    (signal,) = read("User-agent: Google-Extended\nContent-Usage: train-ai=n # no\nAllow: /")
    assert (signal.locator, signal.excerpt) == ("line 2 (Google-Extended)", "content-usage: train-ai=n")


def test_group_for_scrapy_has_a_reason_of_its_own():
    own, other = read(closed("GPTBot", "CCBot", "Scrapy"))
    assert (own.reason, own.locator) == ("tokens.own", "line 8 (Scrapy)")
    assert (other.reason, other.effective) == ("tokens.class", DENY)


@pytest.mark.parametrize("setting", SETTINGS)
def test_statement_from_which_nothing_follows_is_noted(setting):
    (signal,) = read(closed("GPTBot"), setting)
    assert (signal.effective == DENY) == (setting == "any")
    assert signal.issues == (() if setting == "any" else ("not_inferred",))


def test_many_tokens_are_counted_after_the_eighth():
    names = [entry.token for entry in LIST.binding if not entry.ours and entry.token.isalpha()]
    (signal,) = read("".join(f"User-agent: {name}\n" for name in names) + "Disallow: /")
    assert signal.locator.count("line") == 8
    assert signal.locator.endswith(f" and {len(names) - 8} more")


def test_leniency_of_a_group_for_others_is_an_issue():
    (signal,) = read("User-agent: Google-Extended\nDisallow /")
    assert signal.issues == ("missing_colon",)


def test_any_of_our_tokens_named_is_conclusive():
    text = closed("GPTBot", "CCBot") + "User-agent: KnockfirstBot\nAllow: /"
    assert denied(text, "class")
    assert not denied(text, "class", (BOT, "KnockfirstBot"))


def test_same_conclusion_without_a_robots_txt():
    entries = [BY_NAME["GPTBot"], BY_NAME["CCBot"]]
    assert concludes(entries, "class")
    assert not concludes(entries[:1], "class")
    assert not concludes([], "any")
    assert not concludes([BY_NAME["PerplexityBot"], BY_NAME["ChatGPT-User"]], "any")


def test_statements_beyond_the_work_limit_refuse():
    lines = "".join(f"Content-Usage: /{n} train-ai=y\n" for n in range(9000))
    (signal,) = read(f"User-agent: Google-Extended\n{lines}Allow: /")
    assert signal.effective == DENY


def test_rules_too_complex_refuse():
    rules = "".join(f"Disallow: *{'a' * 49}b{'a' * 45}{n}*\n" for n in range(4500))
    (signal,) = read(f"User-agent: Google-Extended\n{rules}", url="https://news.example/" + "a" * 8000)
    assert (signal.effective, signal.locator) == (DENY, "rules too complex (Google-Extended)")


def test_list_is_dated_sourced_and_complete():
    assert LIST.id == "tokens"
    assert LIST.sources
    assert {reason.code for reason in LIST.reasons} == {"tokens.class", "tokens.own"}
    assert {entry.kind for entry in LIST.tokens} == {"T", "X", "S", "U", "P"}
    assert [entry.token for entry in LIST.tokens if entry.ours] == ["Scrapy"]
    assert LIST.digest.startswith("sha256:")
    assert all(entry.operator for entry in LIST.tokens)


def test_faults_of_the_file_are_told_together_with_their_lines():
    text = (
        'id = "tokens"\nname = "x"\nreviewed = "2026-11-22"\nsources = []\nreasons = []\n'
        '[[tokens]]\ntoken = "A"\nclass = "T"\noperator = "a"\n[[tokens]]\ntoken = "a"\nclass = "T"\noperator = "a"\n'
    )
    with pytest.raises(DefinitionError, match=r"crawler\.toml:11: .*'a' is listed above"):
        TokenList.from_toml(text, file="crawler.toml")
    broken = text.replace('class = "T"\noperator = "a"\n[[', 'class = "Q"\n[[')
    with pytest.raises(DefinitionError) as error:
        TokenList.from_toml(broken, file="crawler.toml")
    assert len(error.value.faults) == 2
