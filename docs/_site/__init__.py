"""What MkDocs needs to know about this project: formulas, docstrings, and files beside the pages."""
