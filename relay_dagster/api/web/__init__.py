"""Pages for merchants and suppliers: views of the routes' answers, made on the server."""
