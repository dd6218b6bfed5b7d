"""Pages for merchants and suppliers, rendered on the server."""
