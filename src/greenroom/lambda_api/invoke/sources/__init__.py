"""Event source mappings: what they read, which records reach the function, and what follows a failure."""
