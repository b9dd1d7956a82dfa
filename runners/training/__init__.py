"""Training one network: the loop, its recipe, the proxy task and the full training."""
