"""Statements from outside: read, proven, and kept in their topic (docs/statements.md)."""
