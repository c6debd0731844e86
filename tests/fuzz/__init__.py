"""Damaged files and requests: answered well or refused in words, in bounded time and memory."""
