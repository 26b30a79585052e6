"""Which tests catch which fault: faults put into a copy of the tree one by one."""
