"""From an architecture to a `torch.nn.Module`: torch is imported in this folder only."""
