"""Which keys a query sees and, for rotary schemes, at which distances: one file a choice of `+window=NAME`."""
