"""One file a network: one builder for its float and its quantised form."""
