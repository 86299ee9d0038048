"""Health: from the state of one partition to what a person reads in `status` and `doctor`."""
