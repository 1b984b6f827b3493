"""What each stage may do at the broker and in the object store, and what puts it into force there.

`python -m deploy.rights broker|store|seaweedfs` is run once at every start of the containers, with
the servers' own administrators and the stages' passwords in the environment (`__main__.py`).
"""
