"""The commands: compose a configuration, build what it names, call it."""
