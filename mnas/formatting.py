"""Numbers as people write them."""


def millions(count: float) -> str:
    """Write a count of MACs or parameters as the papers do: `385.81M`, and `69.2K` below
    a million.
    """
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.1f}K"
