"""The only rooms with torch: training, folding, scoring."""
