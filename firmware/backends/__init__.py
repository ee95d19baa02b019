"""Writers of firmware projects."""
