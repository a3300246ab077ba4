"""Downloading: HTTP/1.1 over a byte stream that is ours, exact to the byte, stoppable at the head, bounded."""
