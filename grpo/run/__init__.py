"""One training run: what it evaluates, records, saves and resumes."""
