"""What an array would make of a model as it is."""
