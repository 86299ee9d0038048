"""What `doctor` checks; each check yields findings and changes nothing."""
