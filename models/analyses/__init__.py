"""Published offline studies, one file each."""
