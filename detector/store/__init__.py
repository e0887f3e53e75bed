"""Where events are read and alerts are written."""
