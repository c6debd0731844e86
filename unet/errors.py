"""Errors whose message is for the person who uses the program."""


class UserError(Exception):
    """What was expected, what came, and what to do, in a sentence or two."""
