"""Converts messages to token ids, and sampled ids to tool calls."""
