"""Pure and synchronous: no clock, no randomness, no I/O, no float."""
