"""`knockfirst`: one command, each package's verbs. Imports Scrapy only for verbs that crawl, so auditors need none."""

from __future__ import annotations

import typer

from crawler.frontier.forgetting import forget_in
from provenance import (
    verbs,
    verbs_blocklist,
    verbs_diff,
    verbs_erase,
    verbs_index,
    verbs_key,
    verbs_manifest,
    verbs_policy,
    verbs_proof,
    verbs_report,
    verbs_review,
    verbs_serve,
    verbs_statement,
)
from reservations._version import __version__

app = typer.Typer(
    name="knockfirst",
    help="A crawler for AI training data that asks first, obeys the answer, and can prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"knockfirst {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: bool = typer.Option(default=False, help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Asks first, obeys the answer, and can prove it."""


def _add_crawling() -> None:
    """Adds the verbs of data teams, where Scrapy is installed."""
    try:
        from crawler import verbs as crawling  # noqa: PLC0415  (the one import that may be missing)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] not in ("scrapy", "twisted", "h11"):
            raise
        return
    crawling.add_to(app)


app.command(epilog="Example: knockfirst verify out/web")(verbs.verify)
app.command(epilog="Example: knockfirst explain out/web https://example.org/page")(verbs.explain)
verbs_proof.add_to(app)
verbs_report.add_to(app)
verbs_index.add_to(app)
verbs_serve.add_to(app)
verbs_erase.add_to(app, forget_in)
verbs_manifest.add_to(app)
app.add_typer(verbs_key.app)
verbs_policy.add_to(app)
verbs_diff.add_to(app)
app.add_typer(verbs_blocklist.app)
verbs_review.app.add_typer(verbs_statement.app)
app.add_typer(verbs_review.app)


def main() -> None:
    """Entry point of the command."""
    _add_crawling()
    app()
