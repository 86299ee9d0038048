"""Kafka, registry and PostgreSQL for one machine, without containers or root."""
