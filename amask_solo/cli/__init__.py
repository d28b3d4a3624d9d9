"""The commands, which compose and check a configuration and carry it out."""
