"""Pages for merchants and suppliers: views of what the API's routes answer, made on the server."""
