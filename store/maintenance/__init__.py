"""What is done to a store as a whole: retention, encryption of its secrets, release of declared resources."""
