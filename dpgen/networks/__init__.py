"""Plain-torch networks that generators, the semantic query and metrics share."""
