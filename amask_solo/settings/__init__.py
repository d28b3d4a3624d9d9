"""What is refused before anything is built, and the words for it."""
