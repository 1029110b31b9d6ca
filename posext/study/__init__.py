"""Studies: one file that lists runs, what is put on their weights, and what is made of them."""
