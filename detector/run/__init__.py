"""Time and effect: which windows are due, and running them."""
