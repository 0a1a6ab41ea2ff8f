"""Weight files: table rows, download, verification and the project's own format."""
