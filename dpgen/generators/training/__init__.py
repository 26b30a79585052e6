"""Training that generators share: on public images for free, on private ones by DP-SGD at a planned price."""
