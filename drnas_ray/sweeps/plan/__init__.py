"""From a sweep to its runs and trainings, and what they will take. No Ray."""
