"""Jobs: functions in processes of their own, on this machine or others, each result kept once."""
