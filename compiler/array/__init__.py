"""The array: its sizes, what a model needs of it, where things lie, how long they take."""
