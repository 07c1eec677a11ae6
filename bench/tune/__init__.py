"""What the job layer, the study and the search take and bring."""
