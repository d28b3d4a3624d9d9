"""Masked versions of the host's methods: the leaf class, quiet calls of the host, and clean views encoded once."""
