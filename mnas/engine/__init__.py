"""The search itself: what is asked and told, in which order, and what stops it early."""
