"""Pairs that a teacher writes: planned, paid for once, checked."""
