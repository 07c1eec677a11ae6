"""Kinds of networks that people bring: what pruning, banks and integers cost each."""
