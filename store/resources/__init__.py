"""Reading and writing each kind of row, one file a resource."""
