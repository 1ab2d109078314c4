"""Views: pictures that answer to mouse and keyboard, in JupyterLab and in an exported page."""
