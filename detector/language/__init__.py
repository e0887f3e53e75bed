"""Text to tree, tree to meaning: queries read, evaluated, translated."""
