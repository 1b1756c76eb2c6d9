"""What the models are asked, how their answers are scored, and what the scores prove."""
