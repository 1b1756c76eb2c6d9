"""Persona Factory: from a persona file to a tested, released chat model."""

__version__ = "0.1.0"
