"""The fault suite: a whole line is beaten for a while, then everything is counted.

A private broker and a private store, file and RTSP cameras whose pictures carry their number, and
two workers of each stage, started again when they die, as any orchestrator does. Strikes come one
after the other, in an order and at moments that a seed decides. Meanwhile a ledger reads what
ingest has closed, frame by frame, and watchers look at live, at the bucket and at memory. In the
end ingest is stopped, the archiver gets time to store what there is, and every clip is decoded and
compared with the ledger: lost, duplicated, reordered, overwritten.

    scene.py, plan.py           the house on trial
    doorway.py                  the way to the store
    strikes.py, surroundings.py the faults; steps.py: kills at a named step
    trial.py                    one run, and its findings
    ledger.py                   what was stored against what is archived
    watch.py, seats.py          live, memory and overwritten objects; who held which seat
    outages.py, endured.py      a stage or a service is away for an hour
    page.py                     docs/RELIABILITY.md
"""
