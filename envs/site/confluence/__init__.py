"""Confluence REST v2, and v1 where v2 has no write."""
