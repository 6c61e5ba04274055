"""What the room `workbench` reads: requirements."""
