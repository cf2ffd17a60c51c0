"""Resources of numbers and of the carriers they are reached through."""
