"""The only package that imports solo-learn or Lightning: everything that a host needs and must not notice."""
