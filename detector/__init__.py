"""A detection engine for Elastic rules that needs no Kibana."""

__version__ = "0.1.0"
