"""Where jobs meet Ray Tune: `trial.JobTrial` drives one job, of whatever kind."""
