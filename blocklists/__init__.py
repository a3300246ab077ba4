"""Which sites are excluded, by whose decision, on which date. Pure: texts and dates come in, values go out."""
