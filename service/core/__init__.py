"""What answers a query: no HTTP here."""
