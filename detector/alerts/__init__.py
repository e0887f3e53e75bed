"""A match in, the alert document out."""
