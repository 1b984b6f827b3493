"""What of a day is stored and why the rest is not, computed from the object store's words alone."""
