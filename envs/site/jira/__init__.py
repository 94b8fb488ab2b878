"""Jira REST v3."""
