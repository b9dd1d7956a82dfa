"""Ratios against named baselines; each file prints its table and says its command."""
