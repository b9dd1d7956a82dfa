"""What a journal answers, as data: rankings, recommendations, comparisons, tables."""
