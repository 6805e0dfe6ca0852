"""What a tuning found.

- results: its points, and the best of them
- importance: which of the tuned settings matters
"""
