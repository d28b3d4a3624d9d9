"""What is kept of a run: written, read, trusted, built again, exported."""
