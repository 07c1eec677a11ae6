"""The page about an adaptation."""
