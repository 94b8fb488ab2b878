"""GRPO from scratch for language models that act through tools."""
