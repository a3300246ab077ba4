"""Verbs of `knockfirst blocklist`, a module for each kind of work; `provenance.verbs_blocklist` puts them together."""
