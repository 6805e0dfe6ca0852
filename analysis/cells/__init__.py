"""Cells: pictures, and which have collapsed."""
