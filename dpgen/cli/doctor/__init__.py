"""What `dpgen doctor` looks at: libraries, machine, self-tests, plugins."""
