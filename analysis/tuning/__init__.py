"""What a tuning found: its points, the best of them (results); which key matters (importance)."""
