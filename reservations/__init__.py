"""What rightsholders have said about their works, and what follows from it.

The pure core: bytes, texts and the time come in as arguments, values go out. It imports no HTTP client, socket,
clock or file system, so that an auditor can decide every URL again, years later, to the same byte.
"""
