"""What memories hold of an array that trains, besides what all hold."""
