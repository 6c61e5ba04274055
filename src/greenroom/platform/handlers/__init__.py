"""The Lambda functions, one a file: each parses, calls one function of the platform, and returns."""
