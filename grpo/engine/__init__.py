"""Generation with shared prefixes and a KV cache that only grows."""
