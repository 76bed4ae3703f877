"""Where the token vectors of documents lie, and which documents answer a query."""
