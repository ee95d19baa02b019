"""What tools wrote: one file a kind of report, each a pure function from text to a `SynthesisReport`."""
