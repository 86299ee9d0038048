"""The Faust side of a worker: its application, what it owns, and how runs reach the stages."""
