"""Errors whose message is for the person who uses the program."""


class UserError(Exception):
    """Error for people: what was expected, what came, what to do, in a sentence or two."""
