"""What each action does, a module for each subject. `flows.registry` has the table of all of them."""
