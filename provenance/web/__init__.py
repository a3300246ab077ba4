"""The auditors' pages: a log explained, looked up and checked in a browser. Reads; changes nothing."""
