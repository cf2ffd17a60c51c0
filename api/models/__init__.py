"""Types of fields and bodies that many resources share."""
