"""What the trigger does with a score."""
