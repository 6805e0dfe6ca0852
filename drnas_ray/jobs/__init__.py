"""What a trial drives: one run, several runs as one job, and their checkpoints."""
