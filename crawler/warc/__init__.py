"""WARC 1.1 files: records, the writer, and what is done after a crash."""
