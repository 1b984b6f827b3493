"""`make bench`: Cradle beside the least that could do its job, in one run, at real-time pace."""
