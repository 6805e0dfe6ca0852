"""What a sweep file says, read and checked. No Ray."""
