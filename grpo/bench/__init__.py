"""Measures speed on this machine, compared with widely used alternatives."""
