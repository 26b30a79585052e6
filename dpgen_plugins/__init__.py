"""The methods that ship with dpgen, one package a family. They use public names of dpgen only, as any plugin does."""
