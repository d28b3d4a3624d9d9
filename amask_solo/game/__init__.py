"""The equation, read `game.py` first, and its players; they need nothing but torch."""
