"""Many runs as one table: a grid file, its cells, their schedule, what came of them."""

from dpgen.pipeline.grid.cells import Cell, cells
from dpgen.pipeline.grid.layout import Block, Grid, read_grid

__all__ = ["Block", "Cell", "Grid", "cells", "read_grid"]
