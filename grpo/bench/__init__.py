"""Speed on this machine, beside the peers that people use today."""
