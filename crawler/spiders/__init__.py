"""Spiders people can use as they are."""
