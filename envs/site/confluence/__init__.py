"""Confluence REST v2, and the label operations of v1, which v2 lacks."""
