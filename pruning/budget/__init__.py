"""How many weights each matrix keeps, of a number that all of them share."""

from sparseflow_rooms import check

check("compiler")
