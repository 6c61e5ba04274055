"""What the room `embedded` reads: requests."""
