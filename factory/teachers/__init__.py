"""Plugins that write training pairs."""
