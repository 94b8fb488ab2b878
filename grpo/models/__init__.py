"""Models: a checkpoint becomes a module whose prefixes can be shared."""
