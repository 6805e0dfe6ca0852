"""The results format: layout of a folder, statuses, records, journal, metrics. No torch, no Ray."""
