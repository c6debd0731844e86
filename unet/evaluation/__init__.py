"""Scores: metrics, summaries with intervals, calibration, diagnosis, figures."""
