"""Verifications of whole logs: one at a time for each log, in a thread, with its progress."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from provenance.report import Report
from provenance.verify import verify as verify_folder
from provenance.web.shelf import Book


class Job:
    """One verification.

    Attributes:
        began: when, as text; step: what is being read; percent: how much of it; done: whether it is over.
        report: the result; None before, and when it failed.
        fault: why it failed; empty when it did not.
    """

    def __init__(self, book: Book) -> None:
        self.began = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        self.step = "log"
        self.percent = 0
        self.done = False
        self.report: Report | None = None
        self.fault = ""
        self._book = book

    def run(self) -> None:
        """Verify."""
        try:
            self.report = verify_folder(self._book.out, progress=self._tell)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page has to say so
            self.fault = str(error) or type(error).__name__
        finally:
            self.done = True

    def _tell(self, step: str, done: int, total: int) -> None:
        self.step, self.percent = step, 100 * done // max(1, total)


class Jobs:
    """The newest verification of each log."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Job | None:
        """The newest one of a log."""
        return self._jobs.get(name)

    def start(self, book: Book) -> None:
        """Start one, unless one runs."""
        with self._lock:
            running = self._jobs.get(book.name)
            if running is not None and not running.done:
                return
            job = self._jobs[book.name] = Job(book)
        thread = threading.Thread(target=job.run, name=f"verify {book.name}", daemon=True)
        thread.start()
