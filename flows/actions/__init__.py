"""What each action does, a module for each subject. `flows.language.registry` has the table of all of them."""
