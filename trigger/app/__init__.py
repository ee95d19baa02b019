"""The top floor: the command line, the chain and the sign-off."""
