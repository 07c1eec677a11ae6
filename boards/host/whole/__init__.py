"""A larger network around the array, run as one."""
