"""The accelerator in integers: what to build, what it runs, when, and what its buses carry."""
