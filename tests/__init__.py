"""Tests by kind and room; what they share is imported by its full name, from the root of the checkout."""
