"""The page a crawler owes the web: who asks, under which token, what for, what is obeyed, how to object."""

from __future__ import annotations

from html import escape
from string import Template
from typing import Final

from crawler.identity import Identity
from provenance.rules import Rules

_PURPOSES: Final = {
    "genai-train": "training generative AI models",
    "ai-train": "training AI models",
    "tdm": "text and data mining",
    "ai-input": "giving pages to AI models at run time",
    "ai-index": "building retrieval indexes for AI systems",
    "search": "building a search index",
    "archive": "keeping an archive",
    "crawl": "visiting pages",
}

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$token, a crawler of $operator</title>
<style>
body { font: 1.05rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem;
  color: #1b1f24 }
h1 { font-size: 1.6rem }
h2 { font-size: 1.15rem; margin-top: 2rem }
code, pre { background: #f2f4f6; border-radius: 4px; padding: .1rem .3rem }
pre { padding: .8rem 1rem; white-space: pre-wrap }
</style>
</head>
<body>
<h1>$token</h1>
<p>This crawler collects publicly accessible pages for <strong>$purposes</strong>. $operator answers for it.</p>
<h2>How to recognise it</h2>
<p>Every request carries this header, and no other identity is ever used:</p>
<pre>User-Agent: $agent</pre>
<h2>How to keep it out</h2>
<p>In <code>robots.txt</code> (RFC 9309), for the whole site:</p>
<pre>User-agent: $token
Disallow: /</pre>
<p>A group for <code>KnockfirstBot</code> is obeyed as well. The file is asked for at most once a day and before any
page; where it cannot be had, nothing is fetched.</p>
<h2>How to reserve a use, without closing the site</h2>
<p>These statements are read and obeyed, before a page is fetched where that is possible, else before it is kept:</p>
<ul>
$protocols
</ul>
<p>Pages behind a login, a payment or a challenge are left alone. One plain refusal suffices.</p>
<h2>Its manners</h2>
<p>One request at a time to a site, a pause after each, longer where <code>Crawl-delay</code> or
<code>Retry-After</code> ask for it. Cookies are not kept, forms are not sent, scripts are not run.</p>
<h2>How to object</h2>
<p>Write to $contact. Please name the pages; each visit is logged with what was decided about it and why, and you can
have those entries.</p>
</body>
</html>""")


def _link(contact: str) -> str:
    href = contact if contact.startswith("http") else f"mailto:{contact}"
    return f'<a href="{escape(href)}">{escape(contact)}</a>'


def bot_page_html(who: Identity, rules: Rules) -> str:
    """The page as HTML, from the operator's identity and the rules in force."""
    purposes = " and ".join(_PURPOSES[purpose] for purpose in rules.policy.purposes)
    listed = "\n".join(f"<li>{escape(protocol.title)}</li>" for protocol in rules.registry.protocols)
    return _PAGE.substitute(
        token=escape(who.token),
        operator=escape(who.operator),
        agent=escape(who.user_agent),
        purposes=escape(purposes),
        protocols=listed,
        contact=_link(who.contact),
    )
