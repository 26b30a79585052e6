"""Deliberately faulty classes, one fault each, beside the honest ones that they are made from."""
