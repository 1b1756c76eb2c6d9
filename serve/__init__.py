"""From a tested release to an OpenAI-compatible endpoint."""
