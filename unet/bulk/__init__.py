"""Folders of any size, segmented on this machine's cores or on a Ray cluster."""
