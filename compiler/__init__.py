"""The accelerator in integers: what to build, what it runs, when, and what its buses carry."""

from sparseflow_rooms import check

check("csb_format")
