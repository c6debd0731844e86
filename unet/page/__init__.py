"""The page: tabs, viewer, what is served, exports."""
