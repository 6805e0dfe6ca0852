"""What a tuning found."""
