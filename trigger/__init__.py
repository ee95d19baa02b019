"""What the trigger sees and what it decides: jets, features, scores, rates, verdicts."""
