"""One module per rule type: a rule and a window in, searches and matches out."""
