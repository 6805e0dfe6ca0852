"""How far a sweep is, how long its epochs take, how much of a GPU a trial needs."""
