"""Cells derived from what a search learnt, within limits on their cost."""
