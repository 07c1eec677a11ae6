"""A packed network goes on learning in integers: docs/learning.md is the contract."""
