"""`knockfirst crawl | check | bot-page`: verbs of data teams.

Exit codes: 0 done (of `check`: the page would be kept), 1 not started, stopped by a fault, or not kept, 2 the
command was not understood.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from rich.console import Console
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings

from crawler import frontier_verbs, identity
from crawler.botpage import bot_page_html
from crawler.check import Step, check_url
from crawler.crawl import Crawl
from crawler.download.addresses import AddressGuard, parse_resolve
from crawler.download.client import Client
from crawler.download.tls import client_context
from crawler.saved import (
    MOST_SAVED,
    Checked,
    Saved,
    SavedError,
    decide,
    documents_in,
    is_document,
    is_warc,
    read_file,
    read_warc,
    rules_beside,
)
from provenance.answers_table import answers_table
from provenance.rules import Rules
from provenance.terminal import plain
from reservations.answers import by_protocol
from reservations.datafile import DefinitionError
from reservations.explain import sentences
from reservations.model import Decision, Facts, Verdict
from reservations.urls import UrlError, canonical_url

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Operator = Annotated[str, typer.Option(envvar="KNOCKFIRST_OPERATOR", help="Who answers for the crawl.")]
Contact = Annotated[str, typer.Option(envvar="KNOCKFIRST_CONTACT", help="https URL or e-mail address for objections.")]
Token = Annotated[str, typer.Option(envvar="KNOCKFIRST_TOKEN", help="Product token.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.add_typer(frontier_verbs.app)
    app.command(
        epilog="Example: knockfirst crawl seeds.txt --operator 'Example Lab' --contact https://example.org/bot "
        "-s KNOCKFIRST_NO_BLOCKLIST='trial of ten sites of our own'"
    )(crawl)
    app.command(epilog="Example: knockfirst check https://example.org/page --operator Me --contact me@example.org")(
        check
    )
    app.command("bot-page", epilog="Example: knockfirst bot-page --operator Me --contact me@example.org > bot.html")(
        bot_page
    )


def crawl(
    seeds: Annotated[str, typer.Argument(help="File with one URL a line, or URLs separated by commas.")],
    operator: Operator = "",
    contact: Contact = "",
    *,
    out: Annotated[str, typer.Option(help="Output folder.")] = "out/web",
    scope: Annotated[str, typer.Option(help="host, domain or any.")] = "host",
    depth: Annotated[str, typer.Option(help="Links followed from a seed; 0: the seeds alone.")] = "",
    setting: Annotated[
        list[str] | None, typer.Option("-s", help="NAME=VALUE, any Scrapy or KNOCKFIRST setting.")
    ] = None,
) -> None:
    """Crawl the web from seeds: `scrapy crawl web` without a Scrapy project."""
    settings = Settings(
        {
            "SPIDER_MODULES": ["crawler.spiders"],
            "ADDONS": {"crawler.addon.Addon": 100},
            "LOG_LEVEL": "WARNING",
            "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
            "KNOCKFIRST_OUT": out,
            "KNOCKFIRST_OPERATOR": operator,
            "KNOCKFIRST_CONTACT": contact,
        }
    )
    for text in setting or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r}: write NAME=VALUE")
        settings.set(name, value, "cmdline")
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler("web")
    process.crawl(crawler, seeds=seeds, scope=scope, depth=depth)
    process.start()
    raise typer.Exit(1 if process.bootstrap_failed or Crawl.of(crawler).fault else 0)


def _who(operator: str, contact: str, token: str) -> identity.Identity:
    problems = {
        "--operator": identity.text_fault(operator) if operator else "is needed: sites are told who asks",
        "--contact": identity.contact_fault(contact) if contact else "is needed: sites are told where to object",
        "--token": identity.token_fault(token),
    }
    faults = [f"{option} {problem}" for option, problem in problems.items() if problem]
    if faults:
        typer.echo("\n".join(faults), err=True)
        raise typer.Exit(2)
    return identity.Identity(token=token, operator=operator, contact=contact)


def check(
    target: Annotated[str, typer.Argument(metavar="URL|FILE|WARC", help="URL to look at now, or what was saved.")],
    operator: Operator = "",
    contact: Contact = "",
    token: Token = identity.HOUSE_TOKEN,
    *,
    url: Annotated[
        str, typer.Option(help="Where a saved file came from; of a WARC file, the one URL to look at.")
    ] = "",
    media_type: Annotated[str, typer.Option(help="Of a saved file; default: by its name.")] = "",
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the shipped one.")] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="KNOCKFIRST_DATA", help="Folder with protocol files of your own.")
    ] = None,
    resolve: Annotated[
        str, typer.Option(envvar="KNOCKFIRST_RESOLVE", help="Tests only: host=address,... or @file.")
    ] = "",
    allow_private: Annotated[
        bool, typer.Option(envvar="KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES", help="Tests on loopback only.")
    ] = False,
    ca_file: Annotated[Path | None, typer.Option(envvar="KNOCKFIRST_CA_FILE", help="Further authorities, PEM.")] = None,
    as_json: Json = False,
) -> None:
    """Look at one URL now, or at a saved file or WARC file: what would be decided, and what each protocol answers.

    Nothing is stored; no blocklist is asked. What was not saved with a file counts as absent, and is named. An ONIX
    record beside a saved file, FILE.onix.xml, is read with it.
    """
    path = Path(target)
    saved = "://" not in target and path.exists()
    who = identity.Identity(token=token, operator="", contact="") if saved else _who(operator, contact, token)
    try:
        rules = Rules.load(tokens=who.tokens, policy=policy, data=data)
        if saved:
            kept = _check_saved(path, rules, url, media_type, as_json=as_json)
        else:
            options = _Live(resolve=resolve, allow_private=allow_private, ca_file=ca_file)
            kept = _check_live(canonical_url(target), rules, who, options, as_json=as_json)
    except UrlError as error:
        typer.echo(f"{url or target}: {error}", err=True)
        raise typer.Exit(2) from None
    except (SavedError, DefinitionError, OSError) as error:
        typer.echo(plain(str(error)), err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(0 if kept else 1)


class _Live(NamedTuple):
    """How a live check reaches the network."""

    resolve: str
    allow_private: bool
    ca_file: Path | None


def _check_live(target: str, rules: Rules, who: identity.Identity, options: _Live, *, as_json: bool) -> bool:
    console = Console()
    steps: list[Step] = []

    def tell(step: Step) -> None:
        steps.append(step)
        if not as_json:
            console.print(plain(f"{len(steps)}. {step.did}: {step.came}"), markup=False, highlight=False)

    async def run() -> tuple[Decision, Facts]:
        client = Client(
            user_agent=who.user_agent,
            guard=AddressGuard(
                resolve=parse_resolve(options.resolve) if options.resolve else None,
                allow_private=options.allow_private,
            ),
            tls=client_context(options.ca_file),
            clock=lambda: datetime.now(UTC),
        )
        try:
            return await check_url(
                target,
                rules=rules,
                client=client,
                headers=(("Accept-Language", "*"),),
                now_ms=_now_ms,
                tell=tell,
            )
        finally:
            await client.close()

    decision, facts = asyncio.run(run())
    if not as_json:
        console.print("\nA crawl would decide now (nothing was stored):")
    _show(console, rules, Checked(target, decision, facts, ()), as_json=as_json, steps=msgspec.to_builtins(steps))
    return decision.verdict is Verdict.KEPT


def _check_saved(path: Path, rules: Rules, url: str, media_type: str, *, as_json: bool) -> bool:
    """Decides on what was saved; True when all of it would be kept."""
    wanted = canonical_url(url) if url else ""
    console = Console()
    listed: Iterator[Saved]
    if is_warc(path):
        documents = documents_in(path, rules, _now_ms())
        pages = (one for one in read_warc(path) if wanted or not is_document(one.url, rules))
        listed = (one for one in pages if not wanted or one.url == wanted)
    else:
        documents = {}
        rules = rules_beside(path, rules)
        listed = iter([read_file(path, wanted or "https://saved.invalid/", media_type)])
    verdicts = []
    for one in islice(listed, MOST_SAVED):
        checked = decide(one, rules, documents, _now_ms())
        verdicts.append(checked.decision.verdict)
        in_scope = checked.decision.reason != "scope.media-type"
        if not in_scope:
            checked = decide(one, _of_any_type(rules), documents, _now_ms())
        if not (in_scope or as_json):
            typer.echo("A crawl under this policy asks for no file of this media type. If it did:")
        elif not as_json:
            typer.echo("What a crawl would have made of it:")
        _show(console, rules, checked, as_json=as_json, in_scope=in_scope)
    if not verdicts:
        raise SavedError(f"{path}: holds no response" + (f" from {wanted}" if wanted else ""))
    return all(verdict is Verdict.KEPT for verdict in verdicts)


def _of_any_type(rules: Rules) -> Rules:
    """The rules, for files of any media type: what is in a picture may be asked though no crawl wants pictures."""
    wider = copy.copy(rules)
    wider.policy = msgspec.structs.replace(rules.policy, media_types=("*/*",))
    return wider


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _show(console: Console, rules: Rules, checked: Checked, *, as_json: bool, **more: Any) -> None:
    """The combined decision, and what each protocol answered."""
    decision = checked.decision
    answers = by_protocol(decision, rules.registry.protocols, rules.policy)
    if as_json:
        told = {"url": checked.url, **more, "decision": decision, "protocols": {one.protocol: one for one in answers}}
        typer.echo(json.dumps(msgspec.to_builtins({**told, "not_saved": checked.not_saved})))
        return
    for sentence in sentences(decision, checked.url, rules.registry.reasons):
        console.print(plain(sentence), markup=False, highlight=False)
    if checked.not_saved:
        console.print(plain(f"Not saved, taken as absent: {', '.join(checked.not_saved)}."), markup=False)
    console.print(answers_table(answers), markup=False, highlight=False)


def bot_page(
    operator: Operator = "",
    contact: Contact = "",
    token: Token = identity.HOUSE_TOKEN,
    *,
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the shipped one.")] = None,
) -> None:
    """Write the page that a crawler owes the web: who, which token, what for, what it obeys, how to object."""
    who = _who(operator, contact, token)
    typer.echo(bot_page_html(who, Rules.load(tokens=who.tokens, policy=policy)))
