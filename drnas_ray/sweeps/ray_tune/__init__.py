"""The part of a sweep that talks to Ray."""
