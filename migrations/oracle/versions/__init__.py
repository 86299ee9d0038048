"""One file a revision, in order. What a released revision does never changes."""
