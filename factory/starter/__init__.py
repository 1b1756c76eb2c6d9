"""The base model that ships, and the recipe that makes it."""
