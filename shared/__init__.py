"""What every stage shares: the words (messages, topology, identity), the edges (link, frame store,
object store, ffmpeg child) and the frame of a worker's life (config, worker loop, clock, log)."""
