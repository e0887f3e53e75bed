"""A real Elasticsearch, started from packages."""
