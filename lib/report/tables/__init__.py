"""Tables of cells, and their forms: HTML, CSV, LaTeX."""
