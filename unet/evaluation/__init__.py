"""Evaluation: case scores, summaries with intervals, threshold selection, plots."""
