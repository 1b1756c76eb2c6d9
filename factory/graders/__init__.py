"""Graders: each gives one reply a value in [0, 1] and a reason; found by entry point."""
