"""The demo: an invented day at a wealth manager."""
