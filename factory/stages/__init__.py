"""The stages of the story, one module each: `STAGE` and `run`."""
