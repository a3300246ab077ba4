"""One module a carrier syntax: bytes in, statements out. Readers never raise on hostile input."""
