"""The commands: ``endpoints …``."""
