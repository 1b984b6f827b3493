"""The page that people look at: live rooms, the day's timeline, clips, and what was seen.

It reads what the other stages made, as any stage does: the live folder, the object store, the
events. What it knows besides (the index) can be lost and is read anew from the bucket. Nothing but
the log-in page answers without a login.
"""
