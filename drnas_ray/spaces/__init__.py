"""Search spaces: what can be chosen, as plain data; no torch."""
