"""Any method of the host, masked: the leaf class, quiet calls, clean views encoded once."""
