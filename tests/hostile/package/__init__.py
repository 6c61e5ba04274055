"""What the room `package` reads: ZIPs, metadata and Python."""
