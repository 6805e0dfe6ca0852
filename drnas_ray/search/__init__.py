"""Where methods and supernets meet: the one bilevel loop, and training from scratch."""
