"""The game (read `game.py` first) and its players, which need nothing but torch."""
