"""HTTP: from requests to queries, from results to answers."""
