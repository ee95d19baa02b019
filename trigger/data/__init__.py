"""Where jets and events come from."""
