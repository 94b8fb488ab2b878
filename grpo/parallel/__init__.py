"""Several processes, and the policy that is trained on them."""
