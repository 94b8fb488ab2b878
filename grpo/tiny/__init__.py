"""The embedded policy, and how it is made."""
