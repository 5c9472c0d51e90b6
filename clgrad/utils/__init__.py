"""Tools around training: data loading."""
