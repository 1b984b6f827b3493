"""The analyzer: samples -> pictures -> what they show, in words -> a result in the object store.

A sample arrives from the queue; its key frames are decoded, privacy masks are drawn, and nothing
after that point ever sees what the masks hide. When nothing has changed, that is all. Otherwise a
provider says what the pictures show: OpenCV on this machine, or a remote model for rooms whose
pictures may leave the house. Whatever the remote side does (slow, blocked, over quota, switched
off), the sample gets its local measurement, with the reason written beside it.
"""
