"""The ledger: claims of the literature, each as an inequality over curves, and its verdict."""
