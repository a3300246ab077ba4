"""Who crawls, with what, for what: the fields of the `run` entry and of each WARC file's first record."""

from __future__ import annotations

import socket
from typing import Any, Final
from urllib.parse import urlsplit

from scrapy.settings import BaseSettings

from crawler.folder import CrawlFile
from crawler.options import Options
from crawler.warc.records import crawl_info
from provenance.installed import code_digest
from provenance.rules import Rules
from reservations._version import __version__

SOFTWARE: Final = f"knockfirst/{__version__}"


def log_origin(options: Options, file: CrawlFile) -> str:
    """The name that a worker signs its log under: "<contact's host>/<spider>/<run>/<worker>"."""
    contact = options.contact
    host = urlsplit(contact).hostname or contact.rpartition("@")[2]
    return f"{host}/{file.spider}/{file.run}/{file.worker}"


def run_fields(options: Options, file: CrawlFile, rules: Rules, settings: BaseSettings) -> dict[str, Any]:
    """The fields of a `run` entry that stand before the log is open."""
    told = {name: str(settings.get(name)) for name in ("DOWNLOAD_DELAY", "CONCURRENT_REQUESTS", "DOWNLOAD_TIMEOUT")}
    told |= {"ca_file": str(options.ca_file or ""), "max_per_host": str(options.max_per_host)}
    identity = options.identity
    return {
        "origin": log_origin(options, file),
        "worker": file.worker,
        "software": SOFTWARE,
        "code": code_digest(),
        "operator": identity.operator,
        "contact": identity.contact,
        "agent": identity.user_agent,
        "token": identity.token,
        "purposes": rules.policy.purposes,
        "spider": file.spider,
        "shared": options.shared,
        "seeds": file.arguments.get("seeds", ""),
        "settings": {key: value for key, value in told.items() if value},
        "resolve": options.resolve,
        "private": options.allow_private_addresses,
        "no_blocklist": "" if options.blocklist else options.no_blocklist,
    }


def warc_info(options: Options, file: CrawlFile, rules: Rules) -> dict[str, str]:
    """The fields of a `warcinfo` record. Rules weaker than the shipped floor stand in it."""
    identity = options.identity
    info = crawl_info(
        software=SOFTWARE,
        operator=f"{identity.operator} <{identity.contact}>",
        user_agent=identity.user_agent,
        token=identity.token,
        policy=rules.policy.name,
        policy_digest=rules.policy.digest,
        log_origin=log_origin(options, file),
        crawl=f"{file.spider}-{file.run}",
        hostname=socket.gethostname(),
    )
    if rules.weakened:
        weaker = (f"{w.rule} (approved by {w.approver}: {w.reason})" for w in rules.weakened)
        info["knockfirst-weaker-rules"] = " | ".join(" ".join(item.split()) for item in weaker)
    return info
