"""Checks of settings before anything is built."""
