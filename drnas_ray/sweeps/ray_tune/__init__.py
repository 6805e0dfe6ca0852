"""The part of a sweep that speaks to Ray."""
