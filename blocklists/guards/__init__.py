"""Names that are listed by mistake more easily than others: data for the lint."""
