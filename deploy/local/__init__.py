"""One machine without containers: a private broker and a private object store on loopback."""
