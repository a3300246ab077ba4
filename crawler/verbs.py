"""`knockfirst crawl | check | bot-page`: verbs of data teams.

Exit codes: 0 done (of `check`: the page would be kept), 1 not started or not kept, 2 the command was not understood.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings

from crawler import identity
from crawler.botpage import bot_page_html
from crawler.check import Step, check_url
from crawler.download.addresses import AddressGuard, parse_resolve
from crawler.download.client import Client
from crawler.download.tls import client_context
from provenance.rules import Rules
from provenance.terminal import plain
from reservations.explain import sentences
from reservations.model import Verdict
from reservations.urls import UrlError, canonical_url

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Operator = Annotated[str, typer.Option(envvar="KNOCKFIRST_OPERATOR", help="Who answers for the crawl.")]
Contact = Annotated[str, typer.Option(envvar="KNOCKFIRST_CONTACT", help="https URL or e-mail address for objections.")]
Token = Annotated[str, typer.Option(envvar="KNOCKFIRST_TOKEN", help="Product token.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
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
    process.crawl("web", seeds=seeds, scope=scope, depth=depth)
    process.start()
    raise typer.Exit(1 if process.bootstrap_failed else 0)


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
    url: Annotated[str, typer.Argument(help="URL to look at.")],
    operator: Operator = "",
    contact: Contact = "",
    token: Token = identity.HOUSE_TOKEN,
    *,
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the shipped one.")] = None,
    resolve: Annotated[
        str, typer.Option(envvar="KNOCKFIRST_RESOLVE", help="Tests only: host=address,... or @file.")
    ] = "",
    allow_private: Annotated[
        bool, typer.Option(envvar="KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES", help="Tests on loopback only.")
    ] = False,
    ca_file: Annotated[Path | None, typer.Option(envvar="KNOCKFIRST_CA_FILE", help="Further authorities, PEM.")] = None,
    as_json: Json = False,
) -> None:
    """Look at one URL now: what would be decided, and why, step by step. Nothing is stored; no blocklist is asked."""
    who = _who(operator, contact, token)
    try:
        target = canonical_url(url)
    except UrlError as error:
        typer.echo(f"{url}: {error}", err=True)
        raise typer.Exit(2) from None
    console = Console()
    rules = Rules.load(tokens=who.tokens, policy=policy)
    steps: list[Step] = []

    def tell(step: Step) -> None:
        steps.append(step)
        if not as_json:
            console.print(plain(f"{len(steps)}. {step.did}: {step.came}"), markup=False, highlight=False)

    async def run() -> Any:
        client = Client(
            user_agent=who.user_agent,
            guard=AddressGuard(resolve=parse_resolve(resolve) if resolve else None, allow_private=allow_private),
            tls=client_context(ca_file),
            clock=lambda: datetime.now(UTC),
        )
        try:
            return await check_url(
                target,
                rules=rules,
                client=client,
                headers=(("Accept-Language", "*"),),
                now_ms=lambda: time.time_ns() // 1_000_000,
                tell=tell,
            )
        finally:
            await client.close()

    decision = asyncio.run(run())
    if as_json:
        typer.echo(
            json.dumps({"url": target, "steps": msgspec.to_builtins(steps), "decision": msgspec.to_builtins(decision)})
        )
    else:
        console.print("\nA crawl would decide now (nothing was stored):")
        for sentence in sentences(decision, target, rules.registry.reasons):
            console.print(plain(sentence), markup=False, highlight=False)
    raise typer.Exit(0 if decision.verdict is Verdict.KEPT else 1)


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
