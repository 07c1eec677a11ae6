"""Regressions: suites of cases, run in parallel and held against committed baselines."""
