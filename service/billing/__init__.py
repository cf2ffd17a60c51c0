"""What calls cost, while they run."""
