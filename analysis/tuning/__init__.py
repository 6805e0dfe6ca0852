"""What a tuning found: its points and the best of them (results), which key matters (importance)."""
