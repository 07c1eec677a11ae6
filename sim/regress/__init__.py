"""Regressions: suites of cases, run in parallel and held against committed baselines."""

from sparseflow_rooms import check

check("engine")
