"""Training rows: reading, mending, checking, comparing and splitting them."""
