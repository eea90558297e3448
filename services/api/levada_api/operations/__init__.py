"""For those who operate an installation: why something does not move, dead letters, sending again, who is there."""
