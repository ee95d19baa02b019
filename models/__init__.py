"""Networks that learn what the trigger should decide."""
