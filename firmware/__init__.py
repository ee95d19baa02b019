"""Networks turned into gates, and the proof that nothing changed."""
