"""Weight files: table rows, location, download, verification and the project's own format."""
