"""The network of AAHR (torch)."""
