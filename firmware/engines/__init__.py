"""The same bits, computed in different ways."""
