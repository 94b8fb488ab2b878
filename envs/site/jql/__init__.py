"""JQL: parsed, checked and evaluated."""
