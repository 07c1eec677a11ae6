"""What comes after the recurrent layers."""
