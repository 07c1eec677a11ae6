"""What answers of a model are worth on labelled data."""
