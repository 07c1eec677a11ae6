"""How long people wait: each part of the project has a module, all have rows of one kind."""
