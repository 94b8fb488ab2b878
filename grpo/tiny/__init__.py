"""The embedded policy, and the code that trains it."""
