"""Files of YAML, TOML or NDJSON -> data in which every key has a place."""
