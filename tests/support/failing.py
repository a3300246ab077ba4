"""Runs a Scrapy command in which something fails: `python failing.py log|warc|create|sync|rules AFTER ARGUMENTS...`.

AFTER: what still succeeds before the first failure: octets written (log, warc), WARC files made (create), fsyncs
(sync), examinations of the one URL that ends in "fault" (rules).
"""

import errno
import os
import sys

from scrapy.cmdline import execute

import crawler.warc.writer
import provenance.log
import provenance.rules

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """Counts down to the failure. A write that does not fit is cut, as a real disk does it."""

    def __init__(self, left):
        self.left = left

    def take(self, amount):
        room = min(self.left, amount)
        self.left -= room
        if not room:
            raise FULL
        return room


def fill_log(disk):
    write = provenance.log.Disk.write

    def failing(self, file, octets):
        entries = str(file.name).endswith(".jsonl")  # the rules in force are beside them, and are written once
        return write(self, file, octets[: disk.take(len(octets))] if entries else octets)

    provenance.log.Disk.write = failing


def fill_warc(disk):
    create = crawler.warc.writer._create

    class Raw:
        def __init__(self, path):
            self.file = create(path)
            self.fileno, self.close = self.file.fileno, self.file.close

        def write(self, data):
            return self.file.write(data[: disk.take(len(data))])

    crawler.warc.writer._create = Raw


def fail_create(disk):
    create = crawler.warc.writer._create

    def failing(path):
        disk.take(1)
        return create(path)

    crawler.warc.writer._create = failing


def fail_sync(disk):
    fsync = provenance.log.Disk.fsync

    def failing(self, file):
        disk.take(1)
        fsync(self, file)

    provenance.log.Disk.fsync = failing


def fail_rules(disk):
    examine = provenance.rules.Rules.examine

    def failing(self, facts):
        if facts.url.endswith("fault"):
            disk.take(1)
        return examine(self, facts)

    provenance.rules.Rules.examine = failing


if __name__ == "__main__":
    ways = {"log": fill_log, "warc": fill_warc, "create": fail_create, "sync": fail_sync, "rules": fail_rules}
    ways[sys.argv[1]](Disk(int(sys.argv[2])))
    execute(["scrapy", *sys.argv[3:]])
