"""Networks and masks from files."""
