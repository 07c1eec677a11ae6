"""From a model to passes, their order, a program and the words of all memories."""
