"""Tables of methods and statistics, and the formats they are written in."""
