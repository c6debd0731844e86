"""Whole folders segmented, however large: on this machine's cores or on a Ray cluster."""
